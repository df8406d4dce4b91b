"""Trajectory encoders without memory."""

from typing import Any

from torch import Tensor, nn

from amago.core.config import configurable
from amago.nets import ff
from amago.nets.dropout import Dropout
from amago.nets.traj_encoders.base import TrajEncoder, register_traj_encoder
from amago.nets.utils import activation_switch


@configurable(module="amago.nets.traj_encoders")
@register_traj_encoder("identity")
class IdentityTrajEncoder(TrajEncoder):
    """The state is the timestep's embedding."""

    @property
    def emb_dim(self) -> int:
        return self.tstep_dim

    def forward(
        self,
        seq: Tensor,
        time_idxs: Tensor,
        hidden_state: Any = None,
        log_dict: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Any]:
        return seq, hidden_state


@configurable(module="amago.nets.traj_encoders")
@register_traj_encoder("ff")
class FFTrajEncoder(TrajEncoder):
    """A residual network of each timestep alone: the memoryless control of the other encoders.

    Args:
        d_model: width of the residual stream, and length of a state.
        d_ff: width inside a block; None for four times `d_model`.
        n_layers: residual blocks.
        norm: normalisation inside a block (see `ff.Normalization`).
        out_norm: normalisation of the state.
        layer_type: linear layers of the blocks, called as `layer_type(d_in, d_out)`.
    """

    def __init__(
        self,
        tstep_dim: int,
        max_seq_len: int,
        d_model: int = 256,
        d_ff: int | None = None,
        n_layers: int = 1,
        dropout: float = 0.0,
        activation: str = "leaky_relu",
        norm: str | None = None,
        out_norm: str = "layer",
        layer_type: type[nn.Module] = nn.Linear,
    ) -> None:
        super().__init__(tstep_dim, max_seq_len)
        self.traj_emb = nn.Linear(tstep_dim, d_model)
        self.traj_blocks = nn.ModuleList(
            ff.FFBlock(
                d_model=d_model,
                d_ff=4 * d_model if d_ff is None else d_ff,
                dropout=dropout,
                activation=activation,
                norm=norm,
                layer_type=layer_type,
            )
            for _ in range(n_layers)
        )
        self.traj_last = nn.Linear(d_model, d_model)
        self.out_norm = ff.Normalization(out_norm, d_model)
        self.dropout = Dropout(dropout)
        self.activation = activation_switch(activation)
        self._emb_dim = d_model

    @property
    def emb_dim(self) -> int:
        return self._emb_dim

    def forward(
        self,
        seq: Tensor,
        time_idxs: Tensor,
        hidden_state: Any = None,
        log_dict: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Any]:
        x = self.dropout(self.activation(self.traj_emb(seq)))
        for block in self.traj_blocks:
            x = block(x)
        return self.out_norm(self.dropout(self.traj_last(x))), hidden_state
