"""Hidden states of every kind, through a checkpoint and back."""

import sys
import threading
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from amago.core.errors import CheckpointError
from amago.nets.traj_encoders import get_traj_encoder_cls, list_registered_traj_encoders
from amago.rollout.memory import memory_state, restore_memory

CPU = torch.device("cpu")
Pair = namedtuple("Pair", ["a", "b"])


class StandInForMamba(nn.Module):
    """`mamba_ssm.Mamba` needs a GPU; this has its interface."""

    def __init__(self, d_model, d_state, d_conv, expand):
        super().__init__()
        self.linear = nn.Linear(d_model, d_model)

    def allocate_inference_cache(self, batch_size, max_seqlen, dtype=None):
        return torch.zeros(batch_size, 2), torch.zeros(batch_size, self.linear.in_features)

    def step(self, x, conv_state, ssm_state):
        ssm_state = ssm_state / 2 + self.linear(x[:, 0])
        return ssm_state[:, None], conv_state + 1, ssm_state


@pytest.fixture
def encoder_of(monkeypatch):
    package = ModuleType("mamba_ssm")
    package.Mamba = StandInForMamba
    monkeypatch.setitem(sys.modules, "mamba_ssm", package)
    return lambda name: get_traj_encoder_cls(name)(tstep_dim=8, max_seq_len=6).eval()


@pytest.fixture
def restored(through_checkpoint):
    """What a new process makes of a hidden state."""
    return lambda hidden, fresh: restore_memory(fresh, through_checkpoint(memory_state(hidden)))


def walk(encoder, hidden, steps, first=0):
    """Outputs of `first ... first + steps`, and the hidden state after them."""
    outputs = []
    with torch.no_grad():
        for t in range(first, first + steps):
            x = torch.randn(3, 1, 8, generator=torch.Generator().manual_seed(t))
            if t == 2:
                hidden = encoder.reset_hidden_state(hidden, np.array([False, True, False]))
            out, hidden = encoder(x, torch.full((3, 1, 1), t), hidden)
            outputs.append(out)
    return outputs, hidden


@pytest.mark.parametrize("name", list_registered_traj_encoders())
@pytest.mark.parametrize("steps", [0, 4, 9])
def test_every_encoder_goes_on_bit_for_bit(encoder_of, restored, name, steps):
    encoder = encoder_of(name)
    _, hidden = walk(encoder, encoder.init_hidden_state(3, CPU), steps)
    again = restored(hidden, fresh=encoder.init_hidden_state(3, CPU))
    assert type(again) is type(hidden)
    expected, _ = walk(encoder, hidden, 5, first=steps)
    found, _ = walk(encoder, again, 5, first=steps)
    assert torch.equal(torch.stack(found), torch.stack(expected))


def test_a_cache_keeps_its_layout_and_what_stands_behind_it(encoder_of, restored):
    encoder = encoder_of("transformer")
    _, hidden = walk(encoder, encoder.init_hidden_state(3, CPU), 4)
    again = restored(hidden, fresh=encoder.init_hidden_state(3, CPU))
    assert torch.equal(again.key_cache.data, hidden.key_cache.data)
    assert again.key_cache.data.stride() == hidden.key_cache.data.stride()
    assert again.seq_lens.dtype == torch.int32
    assert again.device == CPU
    assert again.val_cache is not again.key_cache


def test_the_state_holds_still_while_acting_goes_on(encoder_of, through_checkpoint):
    encoder = encoder_of("transformer")
    _, hidden = walk(encoder, encoder.init_hidden_state(3, CPU), 2)
    state = memory_state(hidden)
    before = through_checkpoint(state)
    walk(encoder, hidden, 3, first=2)
    for saved, kept in zip(state["storages"], before["storages"], strict=True):
        assert torch.equal(saved["bytes"], kept["bytes"])


def test_what_shared_memory_shares_it_again(restored):
    whole = torch.arange(6.0)
    hidden = {"whole": whole, "tail": whole[3:], "same": [whole, whole.view(2, 3).t()]}
    again = restored(hidden, fresh=hidden)
    again["whole"][4] = 100
    assert again["tail"].tolist() == [3, 100, 5]
    assert again["same"][0].tolist() == [0, 1, 2, 3, 100, 5]
    assert again["same"][1].tolist() == [[0, 3], [1, 100], [2, 5]]
    assert whole[4] == 4


def test_an_object_in_two_places_is_one_object_again_even_in_a_circle(restored):
    shared = SimpleHolder(torch.ones(2))
    hidden = {"a": shared, "b": [shared]}
    shared.home = hidden
    again = restored(hidden, fresh=hidden)
    assert again["a"] is again["b"][0]
    assert again["a"].home is again


class SimpleHolder:
    def __init__(self, tensor):
        self.tensor = tensor
        self.home = None


class Slotted:
    __slots__ = ("count", "tensor")

    def __init__(self, tensor):
        self.tensor, self.count = tensor, 3


@dataclass(frozen=True)
class Frozen:
    tensor: torch.Tensor
    name: str = "x"


@pytest.mark.parametrize(
    "hidden",
    [
        None,
        torch.zeros(0, 3),
        torch.tensor(2.5),
        torch.randn(4, 3, dtype=torch.float64).t(),
        torch.ones(2, 1).expand(2, 5),
        torch.randn(3).to(torch.bfloat16),
        torch.tensor([True, False]),
        torch.randn(3, dtype=torch.complex128),
        (torch.ones(2), [torch.zeros(1), {"k": torch.ones(1)}], None),
        {"text": "a", 3: 1.5, ("t", 1): float("inf"), "b": b"\x00", "yes": True},
        Pair(torch.ones(2), 1),
        OrderedDict(b=torch.ones(1), a=torch.zeros(1)),
        torch.zeros(2, 3).shape,
        np.arange(3, dtype=np.int16),
        np.float32(0.1),
        [np.array(7)],
    ],
    ids=lambda hidden: type(hidden).__name__,
)
def test_plain_values_and_containers_come_back(restored, hidden):
    again = restored(hidden, fresh=hidden)
    assert_alike(again, hidden)


def assert_alike(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert one.stride() == other.stride()
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        assert_alike(list(one.values()), list(other.values()))
    elif isinstance(one, (list, tuple)):
        for a, b in zip(one, other, strict=True):
            assert_alike(a, b)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, strict=True)
    else:
        assert one == other


def test_objects_of_the_users_come_back_with_their_attributes(restored):
    holder, fresh = SimpleHolder(torch.ones(1)), SimpleHolder(torch.zeros(1))
    holder.home = [
        Slotted(torch.ones(2)),
        Frozen(torch.zeros(2), name="y"),
        deque([torch.ones(1)], maxlen=4),
    ]
    fresh.home = [Slotted(torch.zeros(2)), Frozen(torch.ones(2)), deque(maxlen=4)]
    again = restored(holder, fresh=fresh)
    slotted, frozen, recent = again.home
    assert (slotted.count, slotted.tensor.tolist()) == (3, [1, 1])
    assert (frozen.name, frozen.tensor.tolist()) == ("y", [0, 0])
    assert (recent.maxlen, [t.tolist() for t in recent]) == (4, [[1.0]])


def test_a_list_may_have_grown(restored):
    again = restored([torch.ones(1), torch.zeros(2)], fresh=[])
    assert [t.tolist() for t in again] == [[1.0], [0.0, 0.0]]


def test_on_another_kind_of_device_the_fresh_state_says_the_dtype(through_checkpoint):
    state = through_checkpoint(memory_state([torch.ones(2), torch.arange(2)]))
    for storage in state["storages"]:
        storage["device"] = "cuda"
    fresh = [torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.int64)]
    again = restore_memory(fresh, state)
    assert [t.dtype for t in again] == [torch.bfloat16, torch.int64]
    assert again[0].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (lambda: threading.Lock(), "lock"),
        (lambda: print, "builtin_function"),
        (lambda: SimpleHolder, "type"),
        (lambda: torch.Generator(), "Generator"),
        (lambda: {1, 2}, "set"),
        (lambda: np.random.default_rng(), "Generator"),
        (lambda: torch.eye(2).to_sparse(), "sparse"),
        (lambda: nn.Linear(1, 1), "Parameter"),
        (lambda: np.array(["a"]), "<U1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_stored_is_named(bad, what):
    holder = SimpleHolder(torch.ones(1))
    holder.home = [{"inside": bad()}]
    with pytest.raises(CheckpointError, match=rf"hidden_state.home\[0\]\['inside'\].*{what}"):
        memory_state(holder)


def test_a_state_of_another_kind_of_memory_is_refused(restored):
    with pytest.raises(CheckpointError, match=r"was a .*SimpleHolder, and is a builtins.NoneType"):
        restored([SimpleHolder(torch.ones(1))], fresh=[])
