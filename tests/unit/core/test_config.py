"""gin through one module: pinned names, refusals that help, bindings that cross a process."""

import subprocess
import sys

import pytest

from amago.core import config
from amago.core.errors import ConfigError


@config.configurable(module="testing.shapes")
class Box:
    def __init__(self, width: int = 1, depth: int = 2) -> None:
        self.width, self.depth = width, depth


@config.configurable(module="testing.shapes")
class Crate:
    def __init__(self, box_type: type[Box] = Box) -> None:
        self.box_type = box_type


@pytest.mark.parametrize("name", ["testing.shapes.Box", "shapes.Box", "Box"])
def test_any_unambiguous_suffix_of_the_public_path_binds(name):
    config.bind({f"{name}.width": 7})
    assert Box().width == 7


def test_the_public_path_is_the_module_of_the_class():
    assert Box.__module__ == "testing.shapes"


def test_an_argument_wins_over_a_binding():
    config.bind({"Box.width": 7})
    assert Box(width=3).width == 3


def test_a_subclass_that_forwards_keywords_takes_the_bindings_of_its_parent():
    class Big(Box):
        def __init__(self, **kwargs) -> None:
            super().__init__(**kwargs)

    config.bind({"Box.depth": 9})
    assert Big().depth == 9


def test_an_unknown_parameter_is_refused_with_the_nearest():
    with pytest.raises(
        ConfigError, match=r"no parameter 'widht' in testing\.shapes\.Box; did you mean 'width'\?"
    ):
        config.bind({"Box.widht": 1})


def test_an_unknown_class_is_refused_with_the_nearest():
    pytest.importorskip("torch", reason="looks through all built-ins, networks among them")
    with pytest.raises(ConfigError, match=r"named 'Crat'; did you mean 'Crate'\?"):
        config.bind({"Crat.box_type": 1})


def test_a_missing_file_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=r"nowhere\.gin"):
        config.parse_files(["nowhere.gin"])


def test_a_later_file_wins(tmp_path):
    (tmp_path / "a.gin").write_text("Box.width = 1\nBox.depth = 5\n")
    (tmp_path / "b.gin").write_text("shapes.Box.width = 2\n")
    config.parse_files([str(tmp_path / "a.gin"), str(tmp_path / "b.gin")])
    assert (Box().width, Box().depth) == (2, 5)


def test_a_snapshot_restores_values_and_references():
    config.bind({"Box.width": 7})
    config.parse_bindings(["Crate.box_type = @Box"])
    state = config.snapshot()
    config.clear()
    assert Box().width == 1
    config.restore(state)
    assert Box().width == 7
    assert Crate().box_type is Box


def test_restoring_bindings_of_a_network_does_not_load_torch():
    pytest.importorskip("torch", reason="binds a parameter of the agent")
    code = (
        "import sys, pickle\n"
        "from amago.core import config\n"
        "config.restore(bytes.fromhex(sys.stdin.read()))\n"
        "assert 'torch' not in sys.modules\n"
        "from amago.agent import Agent\n"
        "from amago.core.config import bindings\n"
        "assert bindings() == {'amago.agent.Agent.tau': 0.5}, bindings()\n"
    )
    config.bind({"Agent.tau": 0.5})
    result = subprocess.run(
        [sys.executable, "-c", code],
        input=config.snapshot().hex(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_operative_values_include_the_defaults_of_what_was_built():
    config.bind({"Box.width": 7})
    Box()
    assert config.operative() == {"testing.shapes.Box.width": 7, "testing.shapes.Box.depth": 2}
