import pytest
from hypothesis import given
from hypothesis import strategies as st

from amago.loading.recent import Recent


@given(
    max_size=st.integers(2, 9),
    uses=st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=200),
)
def test_it_is_a_dict_that_forgets_what_was_not_used_for_long(max_size, uses):
    recent, plain, order = Recent(max_size), {}, []
    for step, (is_put, key) in enumerate(uses):
        if is_put:
            recent.put(key, step)
            plain[key] = step
        found = recent.get(key)
        assert found in (None, plain.get(key))
        if key in [*dict.fromkeys(reversed(order))][: max_size // 2]:
            assert found is not None
        if found is not None:
            order.append(key)
        assert len(recent) <= max_size


@pytest.mark.parametrize("max_size", [0, 1, 2])
def test_two_are_always_remembered(max_size):
    recent = Recent(max_size)
    for key in range(5):
        recent.put(key, key)
    assert [recent.get(key) for key in (4, 3, 2)] == [4, 3, None]
