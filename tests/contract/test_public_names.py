"""Every name that users import or reach by attribute resolves (`public_names.txt`)."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

NAMES = Path(__file__).with_name("public_names.txt").read_text().split()


def resolve(dotted: str) -> Any:
    """What `from amago.a.b import c` gives; the last part may also be a module."""
    parent, _, name = dotted.rpartition(".")
    return getattr(import_module(parent), name)


@pytest.mark.parametrize("dotted", NAMES)
def test_resolves(dotted: str) -> None:
    assert resolve(dotted) is not None


def test_submodules_are_attributes_after_import_amago_alone() -> None:
    import amago

    for dotted in ("nets.cnn.GridworldCNN", "nets.ff.Normalization", "loading.DoNothingDataset"):
        found: Any = amago
        for name in dotted.split("."):
            found = getattr(found, name)
        assert isinstance(found, type)


def test_version_is_a_string_that_clients_compare() -> None:
    import amago

    assert isinstance(amago.__version__, str)
    assert amago.__version__ == "unknown" or amago.__version__ >= "4.0.0"
