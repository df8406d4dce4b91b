"""The Transformer: a stack of causal pre-norm blocks with three optional additions.

    x = x + norm2(W_out (head_scaler * attention(W_qkv norm1(x))))
    x = x + W_2 norm4(act(W_1 norm3(x)))

`norm2`, `norm4` and `head_scaler` are the additions of NormFormer (Shleifer et al. 2021); every `W`
may be a `SigmaReparam`.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from amago.core.errors import ConfigError
from amago.core.names import nearest
from amago.nets import ff
from amago.nets.dropout import Dropout
from amago.nets.transformer.attention import SelfAttention
from amago.nets.transformer.cache import TformerHiddenState
from amago.nets.transformer.positions import FixedPosEmb, LearnablePosEmb, RotaryPosEmb
from amago.nets.transformer.sigma_reparam import SigmaReparam
from amago.nets.utils import activation_switch


class AttentionLayer(nn.Module):
    """Queries, keys and values; attention; output projection.

    Args:
        d_qkv: numbers per head.
        head_scaling: learn one multiplier per head (it is kept at 1 otherwise).
        use_rope: rotate queries and keys by their timestep index.
    """

    def __init__(
        self,
        self_attention: SelfAttention,
        d_model: int,
        d_qkv: int,
        n_heads: int,
        dropout_qkv: float = 0.0,
        head_scaling: bool = True,
        sigma_reparam: bool = True,
        use_rope: bool = False,
    ) -> None:
        super().__init__()
        linear = SigmaReparam if sigma_reparam else nn.Linear
        self.self_attention = self_attention
        self.qkv_projection = linear(d_model, 3 * d_qkv * n_heads, bias=False)
        self.dropout_qkv = Dropout(dropout_qkv)
        self.out_projection = linear(d_qkv * n_heads, d_model)
        self.head_scaler = nn.Parameter(torch.ones(1, 1, n_heads, 1), requires_grad=head_scaling)
        self.rotary = RotaryPosEmb(d_qkv) if use_rope else None
        self.n_heads = n_heads

    def forward(
        self,
        sequence: Tensor,
        pos_idxs: Tensor,
        key_cache: Tensor | None = None,
        val_cache: Tensor | None = None,
        cache_seqlens: Tensor | None = None,
    ) -> Tensor:
        """`sequence` `[B, L, d_model]`, same shape out. For the rest see `SelfAttention`."""
        qkv = self.dropout_qkv(self.qkv_projection(sequence))
        # Stored weights have the head as their fastest axis.
        qkv = qkv.unflatten(-1, (3, -1, self.n_heads)).transpose(-1, -2)  # [B L 3 H D]
        if self.rotary is not None:
            rotated = self.rotary(qkv[:, :, :2], pos_idxs)
            qkv = torch.cat([rotated, qkv[:, :, 2:]], dim=2)
        out = self.self_attention(qkv, key_cache, val_cache, cache_seqlens)
        return self.out_projection((out * self.head_scaler).flatten(-2))


class TransformerLayer(nn.Module):
    """Attention, then a feed-forward network, each added to the residual stream.

    Args:
        d_ff: width of the feed-forward network.
        normformer_norms: also normalise after attention and inside the feed-forward network.
    """

    def __init__(
        self,
        attention_layer: AttentionLayer,
        d_model: int,
        d_ff: int,
        dropout_ff: float = 0.1,
        activation: str = "leaky_relu",
        norm: str = "layer",
        sigma_reparam: bool = True,
        normformer_norms: bool = True,
    ) -> None:
        super().__init__()
        linear = SigmaReparam if sigma_reparam else nn.Linear
        extra_norm = norm if normformer_norms else None
        self.attention_layer = attention_layer
        self.ff1 = linear(d_model, d_ff)
        self.ff2 = linear(d_ff, d_model)
        self.norm1 = ff.Normalization(norm, d_model)
        self.norm2 = ff.Normalization(extra_norm, d_model)
        self.norm3 = ff.Normalization(norm, d_model)
        self.norm4 = ff.Normalization(extra_norm, d_ff)
        self.dropout_ff = Dropout(dropout_ff)
        self.activation = activation_switch(activation, may_overwrite=True)

    def forward(
        self,
        sequence: Tensor,
        pos_idxs: Tensor,
        key_cache: Tensor | None = None,
        val_cache: Tensor | None = None,
        cache_seqlens: Tensor | None = None,
    ) -> Tensor:
        """`sequence` `[B, L, d_model]`, same shape out. For the rest see `SelfAttention`."""
        attended = self.attention_layer(
            self.norm1(sequence), pos_idxs, key_cache, val_cache, cache_seqlens
        )
        sequence = sequence + self.norm2(attended)
        hidden = self.norm4(self.activation(self.ff1(ff.rows(self.norm3(sequence)))))
        out = self.dropout_ff(self.ff2(self.dropout_ff(hidden)))
        return sequence + out.view_as(sequence)


class Transformer(nn.Module):
    """Embeds a sequence with its positions and passes it through the layers.

    Args:
        inp_dim: length of an input vector.
        layers: `TransformerLayer`s.
        norm: normalisation of the output.
        pos_emb: "fixed", "learnable" (or "learned"), or "rope" (the layers rotate).

    Raises:
        ConfigError: unknown `pos_emb`.
    """

    def __init__(
        self,
        inp_dim: int,
        d_model: int,
        layers: Iterable[nn.Module],
        dropout_emb: float = 0.05,
        norm: str = "layer",
        pos_emb: str = "fixed",
    ) -> None:
        super().__init__()
        self.position_embedding = _position_embedding(pos_emb, d_model)
        self.inp = nn.Linear(inp_dim, d_model)
        self.dropout = Dropout(dropout_emb)
        self.layers = nn.ModuleList(layers)
        self.norm = ff.Normalization(norm, d_model)
        self.d_model = d_model

    @property
    def emb_dim(self) -> int:
        """Length of an output vector."""
        return self.d_model

    def forward(
        self, seq: Tensor, pos_idxs: Tensor, hidden_state: TformerHiddenState | None = None
    ) -> tuple[Tensor, TformerHiddenState | None]:
        """States of a sequence, and the hidden state (the same object, changed).

        Args:
            seq: `[B, L, inp_dim]`; `L` is 1 with a hidden state.
            pos_idxs: timestep indices, `[B, L]`.
        """
        if hidden_state is None:
            return self.training_forward(seq, pos_idxs), None
        return self.inference_forward(seq, pos_idxs, hidden_state)

    def preprocess_seq(self, seq: Tensor, pos_idxs: Tensor) -> Tensor:
        """The start of the residual stream, `[B, L, d_model]`."""
        embedded = self.inp(seq)
        if self.position_embedding is not None:
            embedded = embedded + self.position_embedding(pos_idxs)
        return self.dropout(embedded)

    def training_forward(self, seq: Tensor, pos_idxs: Tensor) -> Tensor:
        """States of whole sequences."""
        x = self.preprocess_seq(seq, pos_idxs)
        for layer in self.layers:
            x = layer(x, pos_idxs)
        return self.norm(x)

    def inference_forward(
        self, seq: Tensor, pos_idxs: Tensor, hidden_state: TformerHiddenState
    ) -> tuple[Tensor, TformerHiddenState]:
        """States of one timestep, `[B, 1, d_model]`; its keys are added to the hidden state.

        Raises:
            ValueError: more than one timestep.
        """
        if seq.shape[1] != 1:
            raise ValueError(f"a step with a hidden state takes 1 timestep, not {seq.shape[1]}.")
        x = self.preprocess_seq(seq, pos_idxs)
        slots = hidden_state.used_slots()
        for i, layer in enumerate(self.layers):
            keys, values, seq_lens = hidden_state[i]
            x = layer(x, pos_idxs, keys[:, :slots], values[:, :slots], seq_lens)
        hidden_state.update()
        return self.norm(x), hidden_state


_POSITION_EMBEDDINGS = {
    "fixed": FixedPosEmb,
    "learnable": LearnablePosEmb,
    "learned": LearnablePosEmb,
    "rope": lambda d_model: None,
}


def _position_embedding(pos_emb: str, d_model: int) -> nn.Module | None:
    if pos_emb not in _POSITION_EMBEDDINGS:
        raise ConfigError(
            f"unknown pos_emb '{pos_emb}'{nearest(pos_emb, _POSITION_EMBEDDINGS)} "
            f"Choose one of: fixed, learnable, rope."
        )
    return _POSITION_EMBEDDINGS[pos_emb](d_model)
