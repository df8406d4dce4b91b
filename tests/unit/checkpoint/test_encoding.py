"""Nested values come back exactly."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amago.checkpoint.encoding import decode, encode
from amago.core.errors import CheckpointError


def round_trip(value: Any) -> Any:
    encoded = encode(value, "part")
    tree = json.loads(json.dumps(encoded.tree, allow_nan=False))
    return decode(tree, encoded.tensors, encoded.aliases)


def assert_same(first: Any, second: Any) -> None:
    """Equal in value, type and order; NaN equals NaN."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert list(first) == list(second)
        assert [type(key) for key in first] == [type(key) for key in second]
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    elif isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype
        assert torch.equal(first, second)
    elif isinstance(first, np.ndarray):
        assert (first.dtype, first.shape) == (second.dtype, second.shape)
        assert np.array_equal(first, second)
    else:
        assert repr(first) == repr(second)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**130), 2**130)
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=5)
    | st.binary(max_size=5)
)
KEYS = st.text(max_size=3) | st.sampled_from(["$tensor", "$", "a.b"]) | st.integers(-3, 3)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=10,
)


@given(VALUES)
@settings(max_examples=150)
def test_any_nesting_of_plain_values_comes_back(value: Any):
    assert_same(round_trip(value), value)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.uint8,
        torch.bool,
        torch.complex64,
    ],
)
def test_tensors_keep_dtype_and_shape(dtype: torch.dtype):
    values = {"matrix": torch.randn(2, 3).to(dtype), "none": torch.zeros(0, 4, dtype=dtype)}
    assert_same(round_trip(values), values)
    assert round_trip(torch.tensor(3).to(dtype)).shape == ()


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "u1", "u2", "u4", "u8", "?"])
def test_arrays_keep_dtype_and_shape(dtype: str):
    values = [np.arange(6).reshape(2, 3).astype(dtype), np.array(1, dtype=dtype)]
    assert_same(round_trip(values), values)


def test_numpy_scalars_keep_their_type():
    values = [np.float32(0.1), np.float64(math.inf), np.int64(3), np.bool_(True)]
    assert_same(round_trip(values), values)


def test_views_come_back_as_what_they_show():
    base = torch.arange(12.0).reshape(3, 4)
    values = {"transposed": base.T, "rows": base[1:], "row": base[1], "every other": base[:, ::2]}
    assert_same(round_trip(values), values)


def test_a_small_view_does_not_store_the_large_tensor_behind_it():
    encoded = encode({"view": torch.zeros(1000)[:2]}, "part")
    assert encoded.tensors["view"].untyped_storage().nbytes() == 8


def test_read_only_arrays_are_stored():
    array = np.arange(3)
    array.flags.writeable = False
    assert_same(round_trip(array), array)


def test_a_tensor_that_appears_twice_is_stored_once_and_is_one_again():
    shared = torch.randn(3)
    encoded = encode({"tied": shared, "copy": shared.clone(), "again": [shared]}, "part")
    assert encoded.aliases == {"again.0": "tied"}
    assert sorted(encoded.tensors) == ["copy", "tied"]
    loaded = decode(encoded.tree, encoded.tensors, encoded.aliases)
    loaded["tied"][0] = 7.0
    assert loaded["again"][0][0] == 7.0
    assert loaded["copy"][0] != 7.0


def test_stored_tensors_never_share_memory():
    base = torch.arange(4.0)
    encoded = encode({"whole": base, "flat": base.view(2, 2), "half": base[:2]}, "part")
    assert encoded.aliases == {}
    assert len({t.untyped_storage().data_ptr() for t in encoded.tensors.values()}) == 3


def test_names_that_spell_the_same_path_stay_apart():
    values = {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1), "a.b~2": torch.full((1,), 2.0)}
    assert_same(round_trip(values), values)


def test_an_optimizer_state_comes_back_exactly():
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert_same(round_trip(optimizer.state_dict()), optimizer.state_dict())


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (object(), "type object"),
        ({1, 2}, "type set"),
        (np.array(["text"]), "dtype <U4"),
        (np.array([None]), "dtype object"),
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.zeros(1, dtype=torch.complex128), "complex128"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_place(value: Any, what: str):
    with pytest.raises(CheckpointError, match=rf"{what}.*at dataset\.outer\.0"):
        encode({"outer": [value]}, "dataset")


@pytest.mark.parametrize(
    "tree", [{"$tensor": "missing"}, {"$unknown": 1}, {"$bytes": "!"}, {"$dict": [[1]]}]
)
def test_a_tree_that_no_encoding_gives_is_refused(tree: Any):
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode(tree, {}, {})


def test_a_tensor_that_nothing_refers_to_is_refused():
    with pytest.raises(ValueError, match="extra"):
        decode({}, {"extra": torch.zeros(1)}, {})
