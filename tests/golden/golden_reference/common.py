"""What every runner uses: the kinds, stored values to Python values, modules with weights.

A runner takes the `args` of a case (with its `config`) and its arrays by name. It returns the
`out/...` arrays that it finds, using public names of the package only.
"""

import importlib

import gymnasium as gym
import numpy as np
import torch

from amago.core import config as amago_config
from amago.nets import policy_dists

RUNNERS = {}


def runner(kind):
    """Decorator: this function recomputes the cases of that kind."""

    def deco(f):
        RUNNERS[kind] = f
        return f

    return deco


class _PointDist:
    """A distribution with unit-free Gaussian log-density and NO sampling noise."""

    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def log_prob(self, a):
        return -0.5 * ((a - self.mean) / self.std) ** 2 - torch.log(self.std)

    def sample(self, shape=()):
        return self.mean.detach().expand(tuple(shape) + tuple(self.mean.shape))

    def rsample(self, shape=()):
        return self.mean.expand(tuple(shape) + tuple(self.mean.shape))


class NoNoisePolicy(policy_dists.PolicyOutput):
    """User-defined continuous policy output: sampling returns tanh of the first half of
    the parameters; the second half sets the scale used by log_prob only."""

    @property
    def actions_differentiable(self):
        return True

    @property
    def is_discrete(self):
        return False

    @property
    def input_dimension(self):
        return 2 * self.d_action

    def forward(self, vec, log_dict=None):
        m, s = vec.chunk(2, dim=-1)
        return _PointDist(torch.tanh(m), torch.exp(0.3 * torch.tanh(s)))


def resolve(x):
    """JSON value -> python value; {"$ref": "pkg.mod.Name"} imports a name."""
    if isinstance(x, dict) and set(x) == {"$ref"}:
        mod, name = x["$ref"].rsplit(".", 1)
        if mod == "harness":
            return globals()[name]
        return getattr(importlib.import_module(mod), name)
    if isinstance(x, dict) and set(x) == {"$inf"}:
        return float("inf")
    if isinstance(x, dict):
        return {k: resolve(v) for k, v in x.items()}
    if isinstance(x, list):
        return [resolve(v) for v in x]
    return x


def apply_config(config):
    """Replace every binding by those of a case."""
    amago_config.clear()
    amago_config.bind({k: resolve(v) for k, v in (config or {}).items()})


def T(x):
    """Array to tensor."""
    return torch.from_numpy(np.array(x))


def N(x):
    """Tensor to array."""
    if isinstance(x, torch.Tensor):
        return x.detach().cpu().numpy().copy()
    return np.array(x)


def sub(inp, prefix):
    """The arrays under a prefix, without it."""
    return {k[len(prefix) :]: v for k, v in inp.items() if k.startswith(prefix)}


def load_sd(module, inp, prefix="sd/"):
    """`module`, with the stored parameters and buffers."""
    sd = {k: T(v) for k, v in sub(inp, prefix).items()}
    module.load_state_dict(sd, strict=True)
    return module


def make_space(spec):
    """The gymnasium space of a description."""
    kind = spec["type"]
    if kind == "Box":
        dt = np.dtype(spec.get("dtype", "float32"))
        lo, hi = spec.get("low", -10.0), spec.get("high", 10.0)
        return gym.spaces.Box(low=lo, high=hi, shape=tuple(spec["shape"]), dtype=dt.type)
    if kind == "Discrete":
        return gym.spaces.Discrete(spec["n"])
    if kind == "MultiBinary":
        return gym.spaces.MultiBinary(spec["n"])
    if kind == "Dict":
        return gym.spaces.Dict({k: make_space(v) for k, v in spec["spaces"].items()})
    raise ValueError(kind)


def pack(out, tag, d):
    """A name -> number map as two arrays."""
    names = sorted(d)
    out[f"out/{tag}/names"] = np.array(names)
    out[f"out/{tag}/values"] = np.array([float(d[k]) for k in names], dtype=np.float64)
