"""The common command line of training scripts: its flags and defaults are frozen.

A new setting is a keyword argument, not a flag.
"""

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest

from amago.cli_utils import add_common_cli

FLAGS = json.loads(Path(__file__).with_name("cli_flags.json").read_text())


def parser() -> ArgumentParser:
    made = ArgumentParser()
    add_common_cli(made)
    return made


def test_no_flag_is_added_or_lost() -> None:
    found = [o for action in parser()._actions for o in action.option_strings]
    assert set(found) - {"-h", "--help"} == set(FLAGS)


@pytest.mark.parametrize("flag", FLAGS)
def test_default_type_and_choices(flag: str) -> None:
    wanted = FLAGS[flag]
    action = next(a for a in parser()._actions if flag in a.option_strings)
    assert action.default == wanted.get("default")
    assert action.required == wanted.get("required", False)
    if "type" in wanted:
        assert getattr(action.type, "__name__", None) == wanted["type"]
    if "choices" in wanted:
        assert set(action.choices or ()) == set(wanted["choices"])


def test_the_registries_decide_what_an_agent_or_encoder_may_be() -> None:
    line = ["--run_name", "a", "--buffer_dir", "b", "--traj_encoder"]
    assert parser().parse_args([*line, "rnn"]).traj_encoder == "rnn"
    with pytest.raises(SystemExit):
        parser().parse_args([*line, "no such encoder"])
