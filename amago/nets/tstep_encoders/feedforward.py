"""Vector observations: flatten, normalise, one multi-layer network."""

import math
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor

from amago.core.config import configurable
from amago.core.errors import ConfigError
from amago.nets import ff
from amago.nets.tstep_encoders.base import TstepEncoder, register_tstep_encoder
from amago.nets.utils import InputNorm


@configurable(module="amago.nets.tstep_encoders")
@register_tstep_encoder("ff")
class FFTstepEncoder(TstepEncoder):
    """Observations flattened and concatenated with `rl2s`, normalised, then an MLP.

    Args:
        n_layers: hidden layers of the MLP.
        d_hidden: their width.
        d_output: length of the embedding.
        norm: normalisation inside the MLP (see `ff.Normalization`).
        out_norm: normalisation of the embedding.
        normalize_inputs: standardise inputs by running statistics, updated in training mode.
        specify_obs_keys: the keys to look at; None for all. Their order does not matter:
            features are always in alphabetical order of the keys.
        auto_scale: raise `d_hidden` and `d_output` to at least the width of the input.

    Raises:
        ConfigError: a specified key is not in the observation space.
    """

    def __init__(
        self,
        obs_space: gym.Space,
        rl2_space: gym.Space,
        n_layers: int = 2,
        d_hidden: int = 512,
        d_output: int = 256,
        norm: str | None = None,
        out_norm: str = "layer",
        activation: str = "leaky_relu",
        hide_rl2s: bool = False,
        normalize_inputs: bool = True,
        specify_obs_keys: list[str] | None = None,
        auto_scale: bool = False,
    ) -> None:
        super().__init__(obs_space=obs_space, rl2_space=rl2_space, hide_rl2s=hide_rl2s)
        spaces = _chosen_spaces(obs_space, specify_obs_keys)
        self.obs_keys = sorted(spaces)
        width = sum(math.prod(space.shape or (1,)) for space in (*spaces.values(), rl2_space))
        if auto_scale:
            d_hidden, d_output = max(d_hidden, width), max(d_output, width)
        self.in_norm = InputNorm(width, skip=not normalize_inputs)
        self.base = ff.MLP(
            d_inp=width,
            d_hidden=d_hidden,
            n_layers=n_layers,
            d_output=d_output,
            activation=activation,
            normalization=norm,
        )
        self.out_norm = ff.Normalization(out_norm, d_output)
        self._emb_dim = d_output

    @property
    def emb_dim(self) -> int:
        return self._emb_dim

    def inner_forward(
        self, obs: dict[str, Tensor], rl2s: Tensor, log_dict: dict[str, Any] | None = None
    ) -> Tensor:
        B, L, _ = rl2s.shape
        parts = [obs[key].reshape(B, L, -1).to(rl2s.dtype) for key in self.obs_keys]
        features = torch.cat([*parts, rl2s], dim=-1)
        if self.training:
            self.in_norm.update_stats(features)
        return self.out_norm(self.base(self.in_norm(features)))


def _chosen_spaces(obs_space: gym.Space, specified: list[str] | None) -> dict[str, gym.Space]:
    if not isinstance(obs_space, gym.spaces.Dict):
        raise ConfigError(f"an encoder needs a Dict observation space and got {obs_space}.")
    keys = list(obs_space.spaces) if specified is None else specified
    if not keys or not set(keys) <= set(obs_space.spaces):
        raise ConfigError(
            f"specify_obs_keys={specified}, but the observation has {sorted(obs_space.spaces)}. "
            f"Name at least one of these."
        )
    return {key: obs_space.spaces[key] for key in keys}
