"""Names that people type, and names that end up in a path."""

import pytest

from amago.core.names import nearest, slug
from amago.core.registry import Registry


def test_nearest_suggests_only_what_is_close():
    assert nearest("tua", ["tau", "gamma"]) == "; did you mean 'tau'?"
    assert nearest("zzz", ["tau", "gamma"]) == "."


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a b", "", ".", "x" * 300, "a\0b", "‮"])
def test_a_slug_is_one_safe_component(name):
    safe = slug(name)
    assert safe
    assert len(safe) <= 64
    assert not safe.startswith(".")
    assert all(c.isascii() and (c.isalnum() or c in ".-") for c in safe)


def test_different_names_never_share_a_slug():
    names = ["a b", "ab", "a/b", "a_b", "a\0b"]
    assert len({slug(name) for name in names}) == len(names)


def test_a_safe_name_stays_as_it_is():
    assert slug("CartPole-v1") == "CartPole-v1"


def test_a_registered_name_cannot_be_taken_again():
    registry: Registry[object] = Registry("thing")
    registry.register("a")(int)
    with pytest.raises(ValueError, match="already registered"):
        registry.register("a")(float)


def test_an_unknown_name_lists_what_there_is():
    registry: Registry[object] = Registry("thing")
    registry.register("transformer")(int)
    with pytest.raises(KeyError, match="did you mean 'transformer'"):
        registry.get("transfomer")
