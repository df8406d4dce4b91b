"""Policy distributions, building blocks, encoders, heads."""

import numpy as np
import torch

from amago.nets import policy_dists as _pd
from golden_reference.common import N, T, load_sd, make_space, pack, resolve, runner, sub


@runner("policy_dist")
def run_policy_dist(a, inp):
    cls = getattr(_pd, a["cls"])
    kw = resolve(a["kwargs"])
    out = {}
    po = cls(a["d_action"], **kw)
    out["out/input_dimension"] = np.array(po.input_dimension)
    out["out/is_discrete"] = np.array(po.is_discrete)
    out["out/actions_differentiable"] = np.array(po.actions_differentiable)
    vec = T(inp["in/params"]).requires_grad_(True)
    act = T(inp["in/actions"])
    lp = po(vec).log_prob(act)
    out["out/log_prob"] = N(lp)
    lp.sum().backward()
    out["out/grad_log_prob_sum"] = N(vec.grad)
    d = po(T(inp["in/params"]))
    if a["cls"] in ("TanhGaussian", "Beta", "GMM", "Multibinary"):
        out["out/mean"] = N(d.mean)
    if a["cls"] in ("Discrete", "Multibinary"):
        out["out/entropy"] = N(d.entropy())
        out["out/probs"] = N(d.probs)
    if a["cls"] == "Discrete":
        oh = T(inp["in/onehot"])
        out["out/action_from_buffer"] = N(po.action_from_buffer(oh))
        v2 = T(inp["in/params"]).requires_grad_(True)
        (po(v2).probs * T(inp["in/cotangent"])).sum().backward()
        out["out/grad_probs_dot_cotangent"] = N(v2.grad)
        dl = _pd.DiscreteLikeContinuous(po(T(inp["in/params"])))
        out["out/like_continuous_log_prob"] = N(dl.log_prob(oh))
        out["out/like_continuous_entropy"] = N(dl.entropy())
        out["out/like_continuous_probs"] = N(dl.probs)
    if a["cls"] == "TanhGaussian":
        out["out/loc"], out["out/scale"] = N(d.base_dist.loc), N(d.base_dist.scale)
    if a["cls"] == "Beta":
        out["out/concentration1"] = N(d.base_dist.concentration1)
        out["out/concentration0"] = N(d.base_dist.concentration0)
    return out


@runner("std_activation")
def run_std_activation(a, inp):
    x = T(inp["in/x"])
    return {
        "out/tanh_bounded_positive": N(_pd.tanh_bounded_positive(x, a["low"], a["high"])),
        "out/softplus_bounded_positive": N(_pd.softplus_bounded_positive(x, a["low"], a["high"])),
        "out/softplus_bounded_positive_no_high": N(_pd.softplus_bounded_positive(x, a["low"])),
    }


@runner("module")
def run_module(a, inp):
    """Any nn.Module whose forward is module(x): MLP, FFBlock, Normalization, ..."""
    cls = resolve({"$ref": a["cls"]})
    kw = resolve(a["kwargs"])
    m = load_sd(cls(**kw), inp)
    out = {}
    for mode in a.get("modes", ["eval"]):
        m.train(mode == "train")
        x = T(inp["in/x"])
        if x.is_floating_point():
            x.requires_grad_(True)
        y = m(x, **a.get("call", {}))
        out[f"out/{mode}"] = N(y)
        if x.is_floating_point() and "in/cotangent" in inp and mode == a.get("modes", ["eval"])[0]:
            (y * T(inp["in/cotangent"])).sum().backward()
            out["out/grad_x"] = N(x.grad)
    for k, v in m.named_buffers():
        out[f"out/buffer/{k}"] = N(v)
    return out


@runner("inputnorm")
def run_inputnorm(a, inp):
    from amago.nets.utils import InputNorm

    m = InputNorm(a["dim"], **a["kwargs"])
    out = {}
    for i in range(a["n_updates"]):
        m.update_stats(T(inp[f"in/x_{i}"]))
        for k in ("mu", "nu", "sigma"):
            out[f"out/{k}_{i}"] = N(getattr(m, k))
        y = m(T(inp["in/query"]))
        out[f"out/normalized_{i}"] = N(y)
        out[f"out/denormalized_{i}"] = N(m(T(inp["in/query"]), denormalize=True))
    for k, v in m.state_dict().items():
        out[f"out/final_sd/{k}"] = N(v)
    return out


@runner("tstep_encoder")
def run_tstep_encoder(a, inp):
    cls = resolve({"$ref": a["cls"]})
    m = cls(
        obs_space=make_space(a["obs_space"]),
        rl2_space=make_space(a["rl2_space"]),
        **resolve(a["kwargs"]),
    )
    load_sd(m, inp)
    obs = {k: T(v) for k, v in sub(inp, "in/obs/").items()}
    rl2 = T(inp["in/rl2s"])
    m.eval()
    out = {"out/emb_dim": np.array(m.emb_dim), "out/eval": N(m(obs=obs, rl2s=rl2))}
    m.train()
    out["out/train"] = N(m(obs=obs, rl2s=rl2))
    for k, v in m.named_buffers():
        out[f"out/buffer_after_train/{k}"] = N(v)
    return out


@runner("traj_encoder")
def run_traj_encoder(a, inp):
    cls = resolve({"$ref": a["cls"]})
    m = cls(tstep_dim=a["tstep_dim"], max_seq_len=a["max_seq_len"], **resolve(a["kwargs"]))
    load_sd(m, inp)
    m.eval()
    seq, tix = T(inp["in/seq"]), T(inp["in/time_idxs"])
    B, L, _ = seq.shape
    out = {"out/emb_dim": np.array(m.emb_dim)}
    Lf = min(L, a["max_seq_len"])
    with torch.no_grad():
        y, _ = m(seq=seq[:, :Lf], time_idxs=tix[:, :Lf], hidden_state=None)
        out["out/full"] = N(y)

        def rollout(reset_at=None):
            hid = m.init_hidden_state(B, torch.device("cpu"))
            ys = []
            for t in range(L):
                yt, hid = m(seq=seq[:, t : t + 1], time_idxs=tix[:, t : t + 1], hidden_state=hid)
                ys.append(yt.clone())
                if reset_at is not None:
                    dn = np.zeros((B,), dtype=bool)
                    if t == reset_at:
                        dn[inp["in/reset_envs"]] = True
                    hid = m.reset_hidden_state(hid, dn)
            return torch.cat(ys, dim=1)

        out["out/stepwise"] = N(rollout())
        if a.get("reset_at") is not None:
            out["out/stepwise_with_reset"] = N(rollout(a["reset_at"]))
    m.train()
    x = seq[:, :Lf].clone().requires_grad_(True)
    y, _h = m(seq=x, time_idxs=tix[:, :Lf], hidden_state=None)
    out["out/train"] = N(y)
    (y * T(inp["in/cotangent"])).sum().backward()
    out["out/grad_seq"] = N(x.grad)
    gn = {}
    for k, p in m.named_parameters():
        if p.grad is not None:
            gn[k] = p.grad.norm()
    pack(out, "param_grad_norm", gn)
    for k, v in m.named_buffers():
        if not k.endswith("inv_freq"):
            out[f"out/buffer_after_train/{k}"] = N(v)
    return out


@runner("actor")
def run_actor(a, inp):
    cls = resolve({"$ref": a["cls"]})
    m = cls(
        state_dim=a["state_dim"],
        action_dim=a["action_dim"],
        discrete=a["discrete"],
        gammas=torch.tensor(a["gammas"]),
        **resolve(a["kwargs"]),
    )
    load_sd(m, inp).eval()
    s = T(inp["in/state"])
    out = {"out/params": N(m.actor_network_forward(state=s))}
    d = m(s)
    if a["discrete"]:
        out["out/probs"], out["out/logits"] = N(d.probs), N(d.logits)
    else:
        out["out/mean"] = N(d.mean)
    return out


@runner("critic")
def run_critic(a, inp):
    cls = resolve({"$ref": a["cls"]})
    m = cls(
        state_dim=a["state_dim"],
        action_dim=a["action_dim"],
        discrete=a["discrete"],
        gammas=torch.tensor(a["gammas"]),
        num_critics=a["num_critics"],
        **resolve(a["kwargs"]),
    )
    load_sd(m, inp).eval()
    act = T(inp["in/action"]).requires_grad_(True)
    y = m(T(inp["in/state"]), act)
    out = {"out/len": np.array(len(m))}
    if isinstance(y, torch.distributions.Categorical):
        out["out/probs"] = N(y.probs)
        y = m.bin_dist_to_raw_vals(y)
    out["out/values"] = N(y)
    y.sum().backward()
    out["out/grad_action_of_sum"] = N(act.grad)
    return out
