"""A selective state-space model (Mamba) as trajectory encoder; needs the package `mamba_ssm`."""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from amago.core.config import configurable
from amago.core.errors import MissingExtraError
from amago.nets import ff
from amago.nets.traj_encoders.base import TrajEncoder, register_traj_encoder


class MambaHiddenState:
    """What the Mamba blocks remember of `B` actors; every step changes it in place.

    Args:
        conv_states: recent inputs of each block's convolution, `[B, ...]` each.
        ssm_states: state of each block's recurrence, `[B, ...]` each.
    """

    def __init__(self, conv_states: list[Tensor], ssm_states: list[Tensor]) -> None:
        self.conv_states = conv_states
        self.ssm_states = ssm_states

    def reset(self, idxs: np.ndarray) -> None:
        """Let the actors whose entry of `idxs` `[B]` is true forget everything."""
        rows = torch.from_numpy(np.flatnonzero(idxs))
        if len(rows):
            for state in (*self.conv_states, *self.ssm_states):
                state[rows.to(state.device)] = 0.0


class _MambaBlock(nn.Module):
    """`x + mamba(norm(x))`."""

    def __init__(self, mamba: Any, d_model: int, norm: str) -> None:
        super().__init__()
        self.mamba: Any = mamba
        self.norm = ff.Normalization(norm, d_model)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mamba(self.norm(x))

    def step(self, x: Tensor, conv_state: Tensor, ssm_state: Tensor) -> Tensor:
        """One timestep `[B, 1, d_model]`; the states are changed."""
        out, new_conv_state, new_ssm_state = self.mamba.step(self.norm(x), conv_state, ssm_state)
        conv_state.copy_(new_conv_state)
        ssm_state.copy_(new_ssm_state)
        return x + out


@configurable(module="amago.nets.traj_encoders")
@register_traj_encoder("mamba")
class MambaTrajEncoder(TrajEncoder):
    """A stack of pre-norm residual Mamba blocks.

    Args:
        d_model: width of the residual stream, and length of a state.
        d_state: size of the recurrence's state, per channel.
        d_conv: width of the convolution, in timesteps.
        expand: width inside a block, in multiples of `d_model`.
        norm: every normalisation (see `ff.Normalization`).

    Raises:
        MissingExtraError: the package is not installed.

    Source: Gu & Dao (2023), Mamba, figure 3.
    """

    def __init__(
        self,
        tstep_dim: int,
        max_seq_len: int,
        d_model: int = 256,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        n_layers: int = 3,
        norm: str = "layer",
    ) -> None:
        super().__init__(tstep_dim, max_seq_len)
        mamba_type = _mamba_type()
        self.inp = nn.Linear(tstep_dim, d_model)
        blocks = [
            _MambaBlock(
                mamba_type(d_model=d_model, d_state=d_state, d_conv=d_conv, expand=expand),
                d_model=d_model,
                norm=norm,
            )
            for _ in range(n_layers)
        ]
        self.mambas = nn.ModuleList(blocks)
        self.out_norm = ff.Normalization(norm, d_model)
        self._emb_dim = d_model

    @property
    def emb_dim(self) -> int:
        return self._emb_dim

    def init_hidden_state(self, batch_size: int, device: torch.device) -> MambaHiddenState:
        conv_states, ssm_states = [], []
        for block in self._blocks():
            conv, ssm = block.mamba.allocate_inference_cache(batch_size, max_seqlen=1)
            conv_states.append(conv.to(device))
            ssm_states.append(ssm.to(device))
        return MambaHiddenState(conv_states, ssm_states)

    def reset_hidden_state(
        self, hidden_state: MambaHiddenState | None, dones: np.ndarray
    ) -> MambaHiddenState | None:
        if hidden_state is not None:
            hidden_state.reset(np.asarray(dones, dtype=bool).reshape(-1))
        return hidden_state

    def forward(
        self,
        seq: Tensor,
        time_idxs: Tensor,
        hidden_state: MambaHiddenState | None = None,
        log_dict: dict[str, Any] | None = None,
    ) -> tuple[Tensor, MambaHiddenState | None]:
        x = self.inp(seq)
        for i, block in enumerate(self._blocks()):
            if hidden_state is None:
                x = block(x)
            else:
                x = block.step(x, hidden_state.conv_states[i], hidden_state.ssm_states[i])
        return self.out_norm(x), hidden_state

    def _blocks(self) -> list[_MambaBlock]:
        return cast(list[_MambaBlock], list(self.mambas))


def _mamba_type() -> type[nn.Module]:
    try:
        from mamba_ssm import Mamba  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtraError("mamba_ssm", "mamba", "MambaTrajEncoder") from error
    return Mamba
