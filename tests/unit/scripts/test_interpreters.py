import sys
from pathlib import Path

import pytest


def interpreter(version=(3, 11, 2), can_venv=True):
    from interpreters import Interpreter

    return Interpreter("/a/python", "/a/python", version, can_venv, torch=None)


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_python_describes_itself():
    from interpreters import probe

    found = probe(sys.executable)
    assert found is not None
    assert found.version == sys.version_info[:3]
    assert found.can_venv


def test_a_command_that_is_there_but_does_not_run_is_no_python(tmp_path):
    from interpreters import probe

    assert probe(executable(tmp_path / "python3.12", "#!/bin/sh\nexit 127\n")) is None
    assert probe(tmp_path / "nowhere") is None


def test_a_shim_that_does_not_run_is_passed_over_for_a_version_behind_it(tmp_path, monkeypatch):
    import interpreters

    version = ".".join(map(str, sys.version_info[:2]))
    shims = tmp_path / "shims"
    kept = tmp_path / "versions" / version / "bin"
    for folder in (shims, kept):
        folder.mkdir(parents=True)
    executable(shims / f"python{version}", "#!/bin/sh\nexit 127\n")
    real = executable(kept / f"python{version}", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    monkeypatch.setenv("PATH", str(shims))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    assert interpreters._candidates(f"python{version}")[-1] == real
    monkeypatch.setenv("PATH", f"{shims}:/usr/bin:/bin")
    assert sys.version_info[:2] in interpreters.by_version()


def test_a_python_that_is_asked_for_and_unsupported_is_refused(tmp_path, monkeypatch):
    from interpreters import SetupError, chosen

    monkeypatch.setenv("AMAGO_PYTHON", str(tmp_path / "python2.7"))
    with pytest.raises(SetupError, match=r"3\.11, 3\.12, 3\.13 needed"):
        chosen(tmp_path)


def test_what_a_bare_debian_lacks_is_said_in_one_line():
    from interpreters import SetupError

    with pytest.raises(SetupError) as caught:
        interpreter(can_venv=False).require_venv()
    assert str(caught.value).endswith("apt install python3-venv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("version", "supported"), [((3, 10, 9), False), ((3, 11, 0), True), ((3, 14, 0), False)]
)
def test_supported_versions(version, supported):
    assert interpreter(version).is_supported == supported


def test_versions_of_torch_compare_by_number():
    from interpreters import Torch

    assert Torch("2.13.0+cpu", "").version == (2, 13) > Torch("2.6.0", "").version
