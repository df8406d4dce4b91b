import subprocess
import sys

import pytest

import amago
from amago.cli.main import main
from amago.core.errors import ConfigError


def test_version_is_printed(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"amago {amago.__version__}\n"


def test_the_module_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "amago", "version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"amago {amago.__version__}\n")


def test_help_and_version_load_no_torch():
    code = (
        "import sys; from amago.cli.main import main; main(['version']); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_command_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_demo_gets_its_seed_and_folder(monkeypatch):
    import amago.cli.demo

    seen = []
    monkeypatch.setattr(amago.cli.demo, "run_demo", lambda **kwargs: seen.append(kwargs))
    assert main(["demo", "--seed", "3", "--out", "elsewhere"]) == 0
    assert main(["demo"]) == 0
    assert seen == [{"seed": 3, "out": "elsewhere"}, {"seed": 1, "out": "demo"}]


def test_our_errors_are_one_line_without_a_traceback(monkeypatch, capsys):
    import amago.cli.demo

    def fail(**kwargs):
        raise ConfigError("no lake is that small")

    monkeypatch.setattr(amago.cli.demo, "run_demo", fail)
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "amago: no lake is that small\n"
