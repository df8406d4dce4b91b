"""The names that `.gin` files bind, and the paths that users build keys from."""

from pathlib import Path
from typing import Any

import pytest

from amago.core import config

SELECTORS = Path(__file__).with_name("gin_selectors.txt").read_text().split()


def resolve(selector: str) -> Any:
    module, _, name = selector.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


@pytest.mark.parametrize("selector", SELECTORS)
def test_the_public_path_is_the_selector_and_the_module(selector: str) -> None:
    found = resolve(selector)
    assert f"{found.__module__}.{found.__name__}" == selector


@pytest.mark.parametrize("selector", SELECTORS)
def test_the_whole_path_the_last_two_names_and_the_last_alone_can_be_bound(selector: str) -> None:
    parts = selector.split(".")
    config.register_builtins()
    for written in (selector, ".".join(parts[-2:]), parts[-1]):
        config.parse_bindings([f"some_macro = @{written}"])
    assert config.bindings()


def test_gin_files_may_import_the_modules_they_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.gin"
    file.write_text(
        "import amago.nets.actor_critic\n"
        "NCritics.d_hidden = 32\n"
        "agent.Agent.fbc_filter_func = @exp_filter\n"
        "TformerTrajEncoder.attention_type = @transformer.VanillaAttention\n"
    )
    config.parse_files([str(file)])
    assert config.bindings()["amago.nets.actor_critic.NCritics.d_hidden"] == 32
