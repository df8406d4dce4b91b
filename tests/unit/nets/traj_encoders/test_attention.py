import copy

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from amago.core.config import bind, parse_bindings
from amago.core.errors import ConfigError
from amago.nets import transformer
from amago.nets.traj_encoders import TformerTrajEncoder

SMALL = {"d_model": 8, "n_heads": 2, "d_ff": 12, "n_layers": 2}


def make_encoder(**arguments) -> TformerTrajEncoder:
    return TformerTrajEncoder(tstep_dim=4, max_seq_len=5, **{**SMALL, **arguments})


def test_the_default_attention_works_on_any_machine():
    encoder = TformerTrajEncoder(tstep_dim=4, max_seq_len=5)
    assert encoder.attention_type is transformer.SDPAttention
    assert encoder(torch.randn(1, 2, 4), torch.zeros(1, 2, 1))[0].shape == (1, 2, 256)


def test_bindings_of_older_configurations_work():
    parse_bindings(
        [
            "import amago.nets.traj_encoders",
            "traj_encoders.TformerTrajEncoder.attention_type = @transformer.FlashAttention",
            "amago.nets.traj_encoders.TformerTrajEncoder.causal = True",
            "transformer.FlashAttention.window_size = (3, 0)",
        ]
    )
    encoder = make_encoder()
    layer = encoder.tformer.layers[0].attention_layer
    assert layer.self_attention.window_size == (3, 0)


def test_attention_to_the_future_is_refused():
    bind({"TformerTrajEncoder.causal": False})
    with pytest.raises(ConfigError, match="causal=False"):
        make_encoder()


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match=r"d_model \(8\) must be a multiple of n_heads \(3\)"):
        make_encoder(n_heads=3)


def test_both_spellings_of_learnt_positions_are_accepted():
    bind({"LearnablePosEmb.max_time_idx": 9})
    for spelling in ("learnable", "learned"):
        keys = make_encoder(pos_emb=spelling).state_dict()
        assert keys["tformer.position_embedding.embeddings.weight"].shape == (9, 8)


def test_the_hidden_state_has_the_documented_layout():
    hidden_state = make_encoder().init_hidden_state(3, torch.device("cpu"))
    assert hidden_state.key_cache.data.shape == (2, 3, 5, 2, 4)
    assert hidden_state.seq_lens.dtype == torch.int32


@torch.no_grad()
def test_actors_can_be_moved_between_batches():
    encoder = make_encoder().eval()
    hidden_state = encoder.init_hidden_state(3, torch.device("cpu"))
    xs = torch.randn(8, 3, 1, 4)
    for t in range(7):  # longer than the memory
        _, hidden_state = encoder(xs[t], torch.full((3, 1, 1), t), hidden_state=hidden_state)
    rows = [2, 0]
    caches = []
    for cache in (hidden_state.key_cache, hidden_state.val_cache):
        part = transformer.Cache.__new__(transformer.Cache)
        part.data = cache.data[:, rows].contiguous()
        caches.append(part)
    moved = transformer.TformerHiddenState(*caches, seq_lens=hidden_state.seq_lens[rows])
    expected, _ = encoder(xs[7], torch.full((3, 1, 1), 7), hidden_state=hidden_state)
    found, _ = encoder(xs[7][rows], torch.full((2, 1, 1), 7), hidden_state=moved)
    assert_close(found, expected[rows])


def test_a_step_takes_one_timestep():
    encoder = make_encoder()
    hidden_state = encoder.init_hidden_state(3, torch.device("cpu"))
    with pytest.raises(ValueError, match="takes 1 timestep, not 2"):
        encoder(torch.randn(3, 2, 4), torch.zeros(3, 2, 1), hidden_state=hidden_state)


def test_no_hidden_state_stays_none():
    encoder = make_encoder()
    assert encoder.reset_hidden_state(None, np.ones(3, dtype=bool)) is None
    assert encoder(torch.randn(3, 2, 4), torch.zeros(3, 2, 1))[1] is None


@torch.no_grad()
def test_rollouts_work_under_autocast():
    encoder = make_encoder().eval()
    hidden_state = encoder.init_hidden_state(3, torch.device("cpu"))
    seq, times = torch.randn(3, 5, 4), torch.arange(5).expand(3, -1)[..., None]
    expected, _ = encoder(seq, times)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for t in range(5):
            now = slice(t, t + 1)
            out, hidden_state = encoder(seq[:, now], times[:, now], hidden_state=hidden_state)
    assert_close(out.float(), expected[:, -1:], rtol=0.05, atol=0.1)


def test_copies_share_nothing():
    encoder = make_encoder()
    twin = copy.deepcopy(encoder)
    pointers = {p.data_ptr() for p in encoder.state_dict().values()}
    assert pointers.isdisjoint(p.data_ptr() for p in twin.state_dict().values())
