"""What every trajectory encoder promises, whatever it is made of.

The future does not leak, padding changes nothing, and a rollout of one timestep at a time computes
what training computes on whole sequences: for actors at different timesteps, after resets, and for
trajectories longer than what a Transformer remembers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from amago.core import config
from amago.core.errors import MissingExtraError
from amago.nets import get_traj_encoder_cls, list_registered_traj_encoders, transformer
from amago.nets.traj_encoders import TformerTrajEncoder, TrajEncoder
from amago.rl.masking import PAD_VALUE

BATCH, TSTEP_DIM, LENGTH = 3, 6, 9


@dataclass(frozen=True)
class Rule:
    """An attention type, and what it means: which keys are seen, and what becomes of a score."""

    make: Callable[..., transformer.SelfAttention]
    sees: Callable[[int, int], bool] = lambda query, key: True
    score: Callable[[float, int], float] = lambda score, key: score


ATTENTION = {
    "vanilla": Rule(transformer.VanillaAttention),
    "sdpa": Rule(transformer.SDPAttention),
    "flash": Rule(transformer.FlashAttention),
    "flash, window 2": Rule(
        partial(transformer.FlashAttention, window_size=(2, 0)), lambda q, k: q - k <= 2
    ),
    "flex": Rule(transformer.VanillaFlexAttention),
    "flex, window 2": Rule(
        partial(transformer.SlidingWindowFlexAttention, window_size=2), lambda q, k: q - k <= 2
    ),
    "flex, clipped, window 1, sink 2": Rule(
        partial(
            transformer.ClippedSlidingSinkAttention,
            window_size=1,
            logit_clip=0.3,
            sink_size=2,
            sink_bias=0.5,
        ),
        lambda q, k: q - k <= 1 or k < 2,
        lambda score, k: min(max(score, -0.3), 0.3) + 0.5 * (k < 2),
    ),
}


class PlainAttention(transformer.SelfAttention):
    """The definition, one query at a time, limited to the last `memory` keys; no cache."""

    def __init__(self, causal: bool, dropout: float, rule: Rule, memory: int) -> None:
        super().__init__(causal=causal, dropout=dropout)
        self.rule = rule
        self.memory = memory

    def forward(self, qkv: Tensor, *cache: object) -> Tensor:
        out = torch.zeros_like(qkv[:, :, 0])
        batch, length, _, heads, width = qkv.shape
        for b, t, h in product(range(batch), range(length), range(heads)):
            query, key, value = qkv[b, t, 0, h], qkv[b, :, 1, h], qkv[b, :, 2, h]
            seen = [s for s in range(t + 1) if t - s < self.memory and self.rule.sees(t, s)]
            scores = [self.rule.score(float(query @ key[s]) * width**-0.5, s) for s in seen]
            weights = torch.tensor(scores).softmax(dim=0)
            out[b, t, h] = (weights[:, None] * value[seen]).sum(dim=0)
        return out


def variants() -> dict[str, dict]:
    """Names of models and their arguments: Transformers of every kind, and all other encoders."""
    found = {
        f"transformer {attention}, {pos_emb}": {"attention": attention, "pos_emb": pos_emb}
        for attention, pos_emb in product(ATTENTION, ("fixed", "learnable", "rope"))
    }
    parts = ("sigma_reparam", "normformer_norms", "head_scaling")
    for flags in product((True, False), repeat=3):
        chosen = dict(zip(parts, flags, strict=True))
        label = ", ".join(part for part, on in chosen.items() if on) or "none"
        found[f"transformer with {label}"] = {"attention": "sdpa", **chosen}
    for name in list_registered_traj_encoders():
        try:
            get_traj_encoder_cls(name)(tstep_dim=TSTEP_DIM, max_seq_len=LENGTH)
        except MissingExtraError:
            continue  # tested with a stand-in for its package, in the unit tests
        if name != "transformer":
            found[name] = {"name": name}
    return found


MODELS = variants()
every_model = pytest.mark.parametrize("model", MODELS)


def scramble(encoder: TrajEncoder) -> TrajEncoder:
    """No parameter is left at a value, such as 0 or 1, that could hide a mistake."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += noise / parameter.shape[-1] ** 0.5
    return encoder.eval()


def build(model: str, max_seq_len: int) -> TrajEncoder:
    arguments = dict(MODELS[model])
    if "name" in arguments:
        cls = get_traj_encoder_cls(arguments["name"])
        return scramble(cls(tstep_dim=TSTEP_DIM, max_seq_len=max_seq_len))
    make = ATTENTION[arguments.pop("attention")].make
    return build_transformer(make, max_seq_len, **arguments)


def build_transformer(attention_type: Callable, max_seq_len: int, **arguments) -> TrajEncoder:
    config.bind({"LearnablePosEmb.max_time_idx": 40})
    sizes = {"d_model": 8, "n_heads": 2, "d_ff": 12, "n_layers": 2}
    return scramble(
        TformerTrajEncoder(
            tstep_dim=TSTEP_DIM,
            max_seq_len=max_seq_len,
            attention_type=attention_type,
            **sizes,
            **arguments,
        )
    )


def whole_sequence_reference(model: str, encoder: TrajEncoder, max_seq_len: int) -> TrajEncoder:
    """The same network with attention written out, for sequences longer than the memory."""
    if not isinstance(encoder, TformerTrajEncoder):
        return encoder
    arguments = dict(MODELS[model])
    rule = ATTENTION[arguments.pop("attention")]
    plain = partial(PlainAttention, rule=rule, memory=max_seq_len)
    reference = build_transformer(plain, max_seq_len, **arguments)
    reference.load_state_dict(encoder.state_dict())
    return reference


def sequences(length: int = LENGTH) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    seq = torch.randn(BATCH, length, TSTEP_DIM, generator=generator)
    return seq, torch.arange(length).expand(BATCH, -1).unsqueeze(-1).clone()


def rollout(encoder: TrajEncoder, seq: Tensor, time_idxs: Tensor, dones: np.ndarray) -> Tensor:
    """Outputs of one timestep at a time; actors are reset after steps where `dones` `[B, L]`."""
    hidden_state = encoder.init_hidden_state(BATCH, torch.device("cpu"))
    outputs = []
    for t in range(seq.shape[1]):
        now = slice(t, t + 1)
        out, hidden_state = encoder(seq[:, now], time_idxs[:, now], hidden_state=hidden_state)
        outputs.append(out)
        hidden_state = encoder.reset_hidden_state(hidden_state, dones[:, t])
    return torch.cat(outputs, dim=1)


@every_model
@torch.no_grad()
def test_the_future_does_not_leak(model):
    encoder = build(model, max_seq_len=LENGTH)
    seq, time_idxs = sequences()
    before, _ = encoder(seq, time_idxs)
    for present in (0, 4, LENGTH - 2):
        changed, other_times = seq.clone(), time_idxs.clone()
        changed[:, present + 1 :] = 50.0
        other_times[:, present + 1 :] += 7
        after, _ = encoder(changed, other_times)
        torch.testing.assert_close(after[:, : present + 1], before[:, : present + 1])
        assert not torch.allclose(after[:, present + 1 :], before[:, present + 1 :])


@every_model
@torch.no_grad()
def test_padding_changes_nothing(model):
    encoder = build(model, max_seq_len=LENGTH)
    seq, time_idxs = sequences()
    expected, _ = encoder(seq, time_idxs)
    padded = torch.nn.functional.pad(seq, (0, 0, 0, 3), value=PAD_VALUE)
    padded_times = torch.nn.functional.pad(time_idxs, (0, 0, 0, 3), value=int(PAD_VALUE))
    found, _ = encoder(padded, padded_times)
    torch.testing.assert_close(found[:, :LENGTH], expected)


@every_model
@torch.no_grad()
def test_step_by_step_equals_the_whole_sequence(model):
    encoder = build(model, max_seq_len=LENGTH)
    seq, time_idxs = sequences()
    expected, _ = encoder(seq, time_idxs)
    never = np.zeros((BATCH, LENGTH), dtype=bool)
    found = rollout(encoder, seq, time_idxs, never)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@every_model
@settings(max_examples=4)
@given(data=st.data())
@torch.no_grad()
def test_rollouts_with_resets_and_long_contexts_equal_separate_sequences(model, data):
    memory = data.draw(st.integers(1, 5), label="max_seq_len")
    length = 12
    flags = st.lists(st.booleans(), min_size=BATCH * length, max_size=BATCH * length)
    rare = st.lists(st.integers(0, 4), min_size=BATCH * length, max_size=BATCH * length)
    drawn = data.draw(st.one_of(flags, rare.map(lambda xs: [x == 0 for x in xs])), label="dones")
    dones = np.array(drawn).reshape(BATCH, length)
    encoder = build(model, max_seq_len=memory)
    reference = whole_sequence_reference(model, encoder, memory)
    seq, time_idxs = sequences(length)
    starts = [[0, *(np.flatnonzero(row[:-1]) + 1), length] for row in dones]
    for b in range(BATCH):
        for start in starts[b][:-1]:
            time_idxs[b, start:, 0] = torch.arange(length - start)

    found = rollout(encoder, seq, time_idxs, dones)

    for b in range(BATCH):
        for start, stop in zip(starts[b][:-1], starts[b][1:], strict=True):
            one = slice(b, b + 1)
            expected, _ = reference(seq[one, start:stop], time_idxs[one, start:stop])
            torch.testing.assert_close(found[one, start:stop], expected, rtol=1e-4, atol=1e-5)


@every_model
@torch.no_grad()
def test_an_actor_is_not_affected_by_those_beside_it(model):
    encoder = build(model, max_seq_len=4)
    seq, time_idxs = sequences()
    never = np.zeros((BATCH, LENGTH), dtype=bool)
    expected = rollout(encoder, seq, time_idxs, never)
    others, resets = seq.clone(), never.copy()
    others[1:] = 100.0
    resets[1:, ::2] = True
    found = rollout(encoder, others, time_idxs, resets)
    torch.testing.assert_close(found[0], expected[0])
