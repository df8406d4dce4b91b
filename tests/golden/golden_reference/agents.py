"""Whole agents: losses, gradients, one training step, values, actions."""

import math

import gymnasium as gym
import numpy as np
import torch

import amago
from golden_reference.common import (
    N,
    T,
    apply_config,
    load_sd,
    make_space,
    pack,
    resolve,
    runner,
    sub,
)


def build_agent(a, inp=None):
    cls = resolve({"$ref": a["agent"]})
    ag = cls(
        obs_space=make_space(a["obs_space"]),
        rl2_space=make_space(a["rl2_space"]),
        action_space=make_space(a["action_space"]),
        max_seq_len=a["max_seq_len"],
        tstep_encoder_type=resolve({"$ref": a["tstep_encoder_type"]}),
        traj_encoder_type=resolve({"$ref": a["traj_encoder_type"]}),
    )
    if inp is not None:
        load_sd(ag, inp)
    return ag


def make_batch(inp):
    from amago.loading import Batch

    return Batch(
        obs={k: T(v) for k, v in sub(inp, "in/batch/obs/").items()},
        **{k: T(inp[f"in/batch/{k}"]) for k in ("rl2s", "rews", "dones", "actions", "time_idxs")},
    )


ONLINE = ("tstep_encoder", "traj_encoder", "actor", "critics")
NETS = (
    "tstep_encoder",
    "traj_encoder",
    "actor",
    "critics",
    "maximized_critics",
    "target_critics",
    "target_actor",
)


def _norm(params):
    g = [p.grad for p in params if p.grad is not None]
    return float(torch.sqrt(sum((x.double() ** 2).sum() for x in g))) if g else 0.0


def _checks(ag, before, tag, out):
    """Per top-level network: L2 and sum of the change since `before`, L2 of the result."""
    dl, ds, pl = {}, {}, {}
    for net in NETS:
        d = [
            (p.detach() - before[f"{net}.{k}"]).double()
            for k, p in getattr(ag, net).named_parameters()
        ]
        dl[net] = math.sqrt(sum(float((x**2).sum()) for x in d))
        ds[net] = sum(float(x.sum()) for x in d)
        pl[net] = math.sqrt(
            sum(float((p.detach().double() ** 2).sum()) for p in getattr(ag, net).parameters())
        )
    pack(out, f"{tag}/delta_l2", dl)
    pack(out, f"{tag}/delta_sum", ds)
    pack(out, f"{tag}/param_l2", pl)


@runner("agent_loss")
def run_agent_loss(a, inp):
    torch.manual_seed(0)
    out = {}
    opt_kw = a["optimizer"]
    torch.distributions.Distribution.set_default_validate_args(a.get("torch_validate_args", True))
    try:
        for order in ("sync_then_step", "step_then_sync", "zero_all"):
            apply_config(a["config"])  # fresh agent, same weights
            ag = build_agent(a, inp)
            ag.train()
            opt = torch.optim.AdamW(ag.trainable_params, **opt_kw)
            before = {k: v.detach().clone() for k, v in ag.named_parameters()}
            n_steps = 1 if order == "step_then_sync" else a["n_steps"]
            if order == "zero_all" and n_steps == 1:
                continue
            for i in range(n_steps):
                # "zero_all" also clears gradients of networks the optimiser does not own
                (ag if order == "zero_all" else opt).zero_grad()
                loss = ag(make_batch(inp), log_step=False)
                loss.backward()
                total = _norm(ag.parameters())
                if order == "sync_then_step":
                    out[f"out/step{i}/loss"] = N(loss)
                    out[f"out/step{i}/critic_loss"] = N(ag.update_info["Critic Loss"])
                    out[f"out/step{i}/actor_loss"] = N(ag.update_info["Actor Loss"])
                    out[f"out/step{i}/clip_norm_all_parameters"] = np.array(total)
                    out[f"out/step{i}/clip_norm_trainable_params"] = np.array(
                        _norm(ag.trainable_params)
                    )
                    if i == 0:
                        pack(
                            out, "grad_norm", {n: _norm(getattr(ag, n).parameters()) for n in NETS}
                        )
                        pack(out, "get_grad_norms", ag.get_grad_norms())
                        pack(
                            out,
                            "param_grad_norm",
                            {
                                f"{n}.{k}": p.grad.norm()
                                for n in ONLINE
                                for k, p in getattr(ag, n).named_parameters()
                                if p.grad is not None
                            },
                        )
                        for k, v in ag.named_buffers():
                            if not k.endswith("inv_freq"):
                                out[f"out/buffer_after_forward/{k}"] = N(v)
                        out["out/masked_timesteps"] = N(
                            ag.update_info["Unmasked Batch Size (in Timesteps)"]
                        )
                if order == "zero_all" and i > 0:
                    out[f"out/zero_all/step{i}/loss"] = N(loss)
                    out[f"out/zero_all/step{i}/clip_norm_all_parameters"] = np.array(total)
                torch.nn.utils.clip_grad_norm_(ag.parameters(), a["grad_clip"])
                if order != "step_then_sync":
                    ag.soft_sync_targets()
                    opt.step()
                else:
                    opt.step()
                    ag.soft_sync_targets()
                if i == 0 and order != "zero_all":
                    _checks(ag, before, f"after_{order}", out)
    finally:
        torch.distributions.Distribution.set_default_validate_args(True)
    return out


@runner("agent_values")
def run_agent_values(a, inp):
    torch.manual_seed(0)
    torch.distributions.Distribution.set_default_validate_args(a.get("torch_validate_args", True))
    try:
        return values_of(build_agent(a, inp).eval(), inp)
    finally:
        torch.distributions.Distribution.set_default_validate_args(True)


def values_of(ag, inp):
    return {f"out/{k}": N(x) for k, x in ag.get_values(make_batch(inp)).items()}


@runner("agent_act")
def run_agent_act(a, inp):
    return acts_of(build_agent(a, inp).eval(), a, inp)


def acts_of(ag, a, inp):
    obs = {k: T(v) for k, v in sub(inp, "in/obs/").items()}
    rl2, tix = T(inp["in/rl2s"]), T(inp["in/time_idxs"])
    B, L, _ = rl2.shape
    hid = ag.init_hidden_state(B, torch.device("cpu"))
    acts = []
    with torch.no_grad():
        for t in range(L):
            s = slice(t, t + 1)
            act, hid = ag.get_actions(
                obs={k: v[:, s] for k, v in obs.items()},
                rl2s=rl2[:, s],
                time_idxs=tix[:, s],
                hidden_state=hid,
                sample=False,
            )
            acts.append(act)
            dn = np.zeros((B,), dtype=bool)
            if t == a["reset_at"]:
                dn[inp["in/reset_envs"]] = True
            hid = ag.reset_hidden_state(hid, dn)
        emb, _h = ag.get_state_embedding(obs=obs, rl2s=rl2, time_idxs=tix, hidden_state=None)
    y = torch.cat(acts, dim=1)
    return {
        "out/actions": N(y),
        "out/dtype": np.array([str(y.dtype)]),
        "out/state_embedding_full": N(emb),
    }


def build_experiment(a):
    """An Experiment with an agent, and without environments or data."""
    from amago.loading import DoNothingDataset

    exp = amago.Experiment(
        run_name="x",
        ckpt_base_dir="/nonexistent",
        max_seq_len=a["max_seq_len"],
        dataset=DoNothingDataset(),
        tstep_encoder_type=resolve({"$ref": a["tstep_encoder_type"]}),
        traj_encoder_type=resolve({"$ref": a["traj_encoder_type"]}),
        agent_type=resolve({"$ref": a["agent"]}),
        val_timesteps_per_epoch=1,
        make_train_env=None,
        make_val_env=None,
        verbose=False,
        **a.get("experiment", {}),
    )
    exp.rl2_space = gym.spaces.Dict(
        {"obs": make_space(a["obs_space"]), "rl2": make_space(a["rl2_space"])}
    )

    class _E:
        single_action_space = make_space(a["action_space"])

    exp.train_envs = _E()
    exp.init_model()
    return exp


@runner("train_step")
def run_train_step(a, inp):
    """Drives the real Experiment.train_step on a hand-built Experiment."""
    torch.manual_seed(0)
    exp = build_experiment(a)
    load_sd(exp.policy, inp)
    exp.policy_aclr.train()
    before = {k: v.detach().clone() for k, v in exp.policy.named_parameters()}
    out = {}
    for i in range(a["n_steps"]):
        metrics = exp.train_step(make_batch(inp), log_step=False)
        out[f"out/step{i}/loss"] = N(metrics["Loss"])
        out[f"out/step{i}/lr_after"] = np.array(exp.lr_schedule.get_last_lr()[0])
        _checks(exp.policy, before, f"after_step{i}", out)
    out["out/grad_update_counter"] = np.array(exp.grad_update_counter)
    return out


@runner("lr_schedule")
def run_lr_schedule(a, inp):
    from amago.utils import get_constant_schedule_with_warmup

    p = torch.nn.Parameter(torch.zeros(1))
    opt = torch.optim.AdamW([p], lr=a["lr"])
    s = get_constant_schedule_with_warmup(optimizer=opt, num_warmup_steps=a["warmup"])
    lrs = []
    for _ in range(a["n"]):
        lrs.append(opt.param_groups[0]["lr"])
        opt.step(), s.step()
    return {"out/lr_used_at_step": np.array(lrs, dtype=np.float64)}
