"""Scalar transforms, value bins, PopArt, n-step targets, advantage filters."""

import numpy as np
import torch

from golden_reference.common import N, T, load_sd, runner


@runner("symlog")
def run_symlog(a, inp):
    from amago.nets.utils import symexp, symlog

    x, y = T(inp["in/x"]), T(inp["in/y"])
    return {
        "out/symlog": N(symlog(x)),
        "out/symexp": N(symexp(y)),
        "out/symlog_pyfloat": np.array([symlog(float(v)) for v in inp["in/x"]]),
        "out/symexp_pyfloat": np.array([symexp(float(v)) for v in inp["in/y"]]),
    }


@runner("bins")
def run_bins(a, inp):
    from amago.nets.actor_critic import NCriticsTwoHot

    c = NCriticsTwoHot(
        state_dim=3,
        action_dim=2,
        discrete=False,
        gammas=torch.tensor([0.9]),
        num_critics=1,
        d_hidden=4,
        **a["critic"],
    )
    out = {"out/bin_vals": N(c.bin_vals)}
    out["out/labels"] = N(c.raw_vals_to_labels(T(inp["in/targets"])))
    cat = torch.distributions.Categorical(logits=T(inp["in/logits"]))
    out["out/scalar"] = N(c.bin_dist_to_raw_vals(cat))
    lab = c.raw_vals_to_labels(T(inp["in/targets_inside"]))
    out["out/label_roundtrip"] = N(
        c.bin_dist_to_raw_vals(torch.distributions.Categorical(probs=lab))
    )
    return out


@runner("bins_init")
def run_bins_init(a, inp):
    from amago.nets.actor_critic import NCriticsTwoHot

    c = NCriticsTwoHot(
        state_dim=3,
        action_dim=2,
        discrete=False,
        gammas=torch.tensor([0.9]),
        num_critics=a["num_critics"],
        d_hidden=4,
        **a["critic"],
    )
    b = c.net.output_layer.bias
    cat = torch.distributions.Categorical(logits=b.detach())
    return {"out/output_bias": N(b), "out/predicted_value": N(c.bin_dist_to_raw_vals(cat))}


@runner("popart")
def run_popart(a, inp):
    from amago.nets.actor_critic import PopArtLayer

    p = PopArtLayer(**a["popart"])
    out = {}
    x = T(inp["in/x"])
    if a.get("preload"):
        load_sd(p, inp)
    for i in range(a["n_updates"]):
        p.update_stats(T(inp[f"in/val_{i}"]), mask=T(inp[f"in/mask_{i}"]))
        for k in ("mu", "nu", "w", "b", "sigma"):
            out[f"out/{k}_{i}"] = N(getattr(p, k))
        out[f"out/forward_normalized_{i}"] = N(p(x))
        out[f"out/forward_denormalized_{i}"] = N(p(x, normalized=False))
        out[f"out/normalize_values_{i}"] = N(p.normalize_values(x))
    for k, v in p.state_dict().items():
        out[f"out/final_sd/{k}"] = N(v)
    return out


@runner("nstep")
def run_nstep(a, inp):
    from amago.agent import nstep_return

    y = nstep_return(
        r=T(inp["in/r"]),
        d=T(inp["in/d"]),
        q=T(inp["in/q"]),
        gamma=T(inp["in/gamma"]),
        n=a["n"],
        mask=T(inp["in/mask"]),
    )
    return {"out/target": N(y)}


@runner("filter")
def run_filter(a, inp):
    import amago.agent as ag

    f = getattr(ag, a["func"])
    return {"out/weights": N(f(T(inp["in/adv"]), **a["kwargs"]).float())}
