"""A recurrent trajectory encoder."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amago.core.config import configurable
from amago.nets import ff
from amago.nets.traj_encoders.base import TrajEncoder, register_traj_encoder


@configurable(module="amago.nets.traj_encoders")
@register_traj_encoder("rnn")
class GRUTrajEncoder(TrajEncoder):
    """A gated recurrent unit, a linear map, a normalisation.

    Its hidden state is that of `torch.nn.GRU`: `[n_layers, B, d_hidden]`, zeros to begin with.

    Args:
        d_output: length of a state.
        norm: normalisation of the state (see `ff.Normalization`).
    """

    def __init__(
        self,
        tstep_dim: int,
        max_seq_len: int,
        d_hidden: int = 256,
        n_layers: int = 2,
        d_output: int = 256,
        norm: str = "layer",
    ) -> None:
        super().__init__(tstep_dim, max_seq_len)
        self.rnn = nn.GRU(tstep_dim, d_hidden, num_layers=n_layers, batch_first=True)
        self.out = nn.Linear(d_hidden, d_output)
        self.out_norm = ff.Normalization(norm, d_output)
        self._emb_dim = d_output

    @property
    def emb_dim(self) -> int:
        return self._emb_dim

    def init_hidden_state(self, batch_size: int, device: torch.device) -> Tensor:
        shape = (self.rnn.num_layers, batch_size, self.rnn.hidden_size)
        return torch.zeros(shape, device=device)

    def reset_hidden_state(self, hidden_state: Tensor | None, dones: np.ndarray) -> Tensor | None:
        dones = np.asarray(dones, dtype=bool).reshape(-1)
        if hidden_state is None or not dones.any():
            return hidden_state
        forget = torch.from_numpy(dones).to(hidden_state.device)
        return hidden_state.masked_fill(forget[None, :, None], 0.0)

    def forward(
        self,
        seq: Tensor,
        time_idxs: Tensor,
        hidden_state: Tensor | None = None,
        log_dict: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        hidden, new_hidden_state = self.rnn(seq, hidden_state)
        return self.out_norm(self.out(hidden)), new_hidden_state
