import pytest
import torch
from torch.testing import assert_close

from amago.core.errors import ConfigError
from amago.nets.transformer import (
    AttentionLayer,
    FixedPosEmb,
    SelfAttention,
    Transformer,
    TransformerLayer,
)


class ShowsQueries(SelfAttention):
    """Returns the queries that it gets."""

    def forward(self, qkv, key_cache=None, val_cache=None, cache_seqlens=None):
        self.qkv = qkv
        return qkv[:, :, 0]


def attention_layer(**arguments) -> AttentionLayer:
    settings = {"d_model": 6, "d_qkv": 3, "n_heads": 2, "sigma_reparam": False}
    return AttentionLayer(ShowsQueries(), **{**settings, **arguments})


def test_rows_of_the_projection_have_the_head_fastest():
    layer = attention_layer()
    with torch.no_grad():
        layer.qkv_projection.weight.zero_()
        layer.qkv_projection.weight[:, 0] = torch.arange(18.0)
    layer(torch.ones(1, 1, 6), torch.zeros(1, 1))
    query, key, value = layer.self_attention.qkv[0, 0]  # each [H D]
    assert query.tolist() == [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
    assert key.tolist() == [[6.0, 8.0, 10.0], [7.0, 9.0, 11.0]]
    assert value.tolist() == [[12.0, 14.0, 16.0], [13.0, 15.0, 17.0]]


def test_the_output_projection_takes_heads_one_after_the_other():
    layer = attention_layer()
    with torch.no_grad():
        layer.qkv_projection.weight.zero_()
        layer.qkv_projection.weight[:, 0] = torch.arange(18.0)
        layer.out_projection.weight.copy_(torch.eye(6))
        layer.out_projection.bias.zero_()
        layer.head_scaler[:, :, 1] = 10.0
    out = layer(torch.ones(1, 1, 6), torch.zeros(1, 1))
    assert out.flatten().tolist() == [0.0, 2.0, 4.0, 10.0, 30.0, 50.0]


def test_the_head_scaler_is_always_there_and_learnt_on_request():
    assert attention_layer().head_scaler.requires_grad
    off = attention_layer(head_scaling=False)
    assert not off.head_scaler.requires_grad
    assert "head_scaler" in off.state_dict()


def test_rotary_positions_turn_queries_and_keys_but_not_values():
    layer = attention_layer(d_model=8, d_qkv=4, use_rope=True)
    x = torch.randn(1, 1, 8)
    layer(x, torch.zeros(1, 1))
    before = layer.self_attention.qkv
    layer(x, torch.ones(1, 1))
    after = layer.self_attention.qkv
    assert not torch.allclose(after[:, :, 0], before[:, :, 0])
    assert not torch.allclose(after[:, :, 1], before[:, :, 1])
    assert_close(after[:, :, 2], before[:, :, 2])


@pytest.mark.parametrize("normformer, norms", ((True, 4), (False, 2)))
def test_normformer_adds_two_normalizations(normformer, norms):
    layer = TransformerLayer(
        attention_layer(), d_model=6, d_ff=8, sigma_reparam=False, normformer_norms=normformer
    )
    assert sum("norm" in name and "weight" in name for name in layer.state_dict()) == norms


def test_positions_are_chosen_by_name():
    fixed = Transformer(inp_dim=3, d_model=4, layers=[], pos_emb="fixed")
    assert isinstance(fixed.position_embedding, FixedPosEmb)
    rope = Transformer(inp_dim=3, d_model=4, layers=[], pos_emb="rope")
    assert rope.position_embedding is None
    with pytest.raises(ConfigError, match="did you mean 'fixed'"):
        Transformer(inp_dim=3, d_model=4, layers=[], pos_emb="fixd")
