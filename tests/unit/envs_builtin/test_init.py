import subprocess
import sys

import pytest

import amago.envs.builtin as builtin


def test_suites_are_reached_through_the_package():
    assert builtin.toy_gym.MetaFrozenLake.__name__ == "MetaFrozenLake"
    assert builtin.tmaze.TMazeAltPassive.__name__ == "TMazeAltPassive"
    assert dir(builtin) == sorted(builtin.__all__)


def test_an_unknown_suite_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'half_life'"):
        builtin.half_life  # noqa: B018


def test_suites_load_no_torch():
    code = (
        "import sys, amago.envs.builtin.toy_gym, amago.envs.builtin.tmaze; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
