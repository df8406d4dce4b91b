"""A Transformer as trajectory encoder."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from amago.core.config import configurable
from amago.core.errors import ConfigError
from amago.nets import transformer
from amago.nets.traj_encoders.base import TrajEncoder, register_traj_encoder


@configurable(module="amago.nets.traj_encoders")
@register_traj_encoder("transformer")
class TformerTrajEncoder(TrajEncoder):
    """A causal Transformer. In a rollout each layer sees the last `max_seq_len` timesteps.

    Args:
        d_model: width of the residual stream, and length of a state.
        n_heads: attention heads; divides `d_model`.
        d_ff: width of the feed-forward networks.
        dropout_ff: dropout inside and after the feed-forward networks.
        dropout_emb: dropout after the input embedding.
        dropout_attn: dropout of attention weights.
        dropout_qkv: dropout of queries, keys and values.
        norm: every normalisation (see `ff.Normalization`).
        pos_emb: "fixed" sinusoids, "learnable" (bind `LearnablePosEmb.max_time_idx`), or "rope".
        sigma_reparam: linear layers are `transformer.SigmaReparam`.
        normformer_norms: two more normalisations a layer.
        head_scaling: learn one multiplier per attention head.
        attention_type: a `transformer.SelfAttention` class.
        causal: always true. Configurations of older versions still set it.

    Raises:
        ConfigError: a number of heads that does not divide `d_model`, or `causal=False`.
    """

    def __init__(
        self,
        tstep_dim: int,
        max_seq_len: int,
        d_model: int = 256,
        n_heads: int = 8,
        d_ff: int = 1024,
        n_layers: int = 3,
        dropout_ff: float = 0.05,
        dropout_emb: float = 0.05,
        dropout_attn: float = 0.0,
        dropout_qkv: float = 0.0,
        activation: str = "leaky_relu",
        norm: str = "layer",
        pos_emb: str = "fixed",
        sigma_reparam: bool = True,
        normformer_norms: bool = True,
        head_scaling: bool = True,
        attention_type: type[transformer.SelfAttention] = transformer.SDPAttention,
        causal: bool = True,
    ) -> None:
        super().__init__(tstep_dim, max_seq_len)
        _check(d_model, n_heads, causal)
        self.head_dim = d_model // n_heads
        self.n_heads = n_heads
        self.n_layers = n_layers
        self.d_model = d_model
        self.attention_type = attention_type

        def make_layer() -> transformer.TransformerLayer:
            attention_layer = transformer.AttentionLayer(
                self_attention=attention_type(causal=True, dropout=dropout_attn),
                d_model=d_model,
                d_qkv=self.head_dim,
                n_heads=n_heads,
                dropout_qkv=dropout_qkv,
                head_scaling=head_scaling,
                sigma_reparam=sigma_reparam,
                use_rope=pos_emb == "rope",
            )
            return transformer.TransformerLayer(
                attention_layer=attention_layer,
                d_model=d_model,
                d_ff=d_ff,
                dropout_ff=dropout_ff,
                activation=activation,
                norm=norm,
                sigma_reparam=sigma_reparam,
                normformer_norms=normformer_norms,
            )

        self.tformer = transformer.Transformer(
            inp_dim=tstep_dim,
            d_model=d_model,
            layers=[make_layer() for _ in range(n_layers)],
            dropout_emb=dropout_emb,
            norm=norm,
            pos_emb=pos_emb,
        )

    @property
    def emb_dim(self) -> int:
        return self.d_model

    def init_hidden_state(
        self, batch_size: int, device: torch.device
    ) -> transformer.TformerHiddenState:
        device = torch.device(device)

        def empty_cache() -> transformer.Cache:
            return transformer.Cache(
                device=device,
                dtype=self._cache_dtype(device),
                layers=self.n_layers,
                batch_size=batch_size,
                max_seq_len=self.max_seq_len,
                n_heads=self.n_heads,
                head_dim=self.head_dim,
            )

        seq_lens = torch.zeros(batch_size, dtype=torch.int32, device=device)
        return transformer.TformerHiddenState(empty_cache(), empty_cache(), seq_lens)

    def reset_hidden_state(
        self, hidden_state: transformer.TformerHiddenState | None, dones: np.ndarray
    ) -> transformer.TformerHiddenState | None:
        if hidden_state is not None:
            hidden_state.reset(idxs=np.asarray(dones, dtype=bool).reshape(-1))
        return hidden_state

    def forward(
        self,
        seq: Tensor,
        time_idxs: Tensor,
        hidden_state: transformer.TformerHiddenState | None = None,
        log_dict: dict[str, Any] | None = None,
    ) -> tuple[Tensor, transformer.TformerHiddenState | None]:
        return self.tformer(seq, pos_idxs=time_idxs.squeeze(-1), hidden_state=hidden_state)

    def _cache_dtype(self, device: torch.device) -> torch.dtype:
        attention = self.tformer.layers[0].attention_layer.self_attention
        return attention.cache_dtype(device)


def _check(d_model: int, n_heads: int, causal: bool) -> None:
    if d_model % n_heads:
        raise ConfigError(
            f"d_model ({d_model}) must be a multiple of n_heads ({n_heads}): every head takes an "
            f"equal share."
        )
    if not causal:
        raise ConfigError(
            "TformerTrajEncoder.causal=False is not possible: an agent cannot look into its "
            "future. Remove the binding."
        )
