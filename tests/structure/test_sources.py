"""What must not be in any file of the repository, and what every distribution must declare."""

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ABSOLUTE = re.compile(r"(?<![\w.])/(?:home|root|Users|work|opt)/\w")
INSTALLED_AS = {
    "flash_attn": "flash-attn",
    "gin": "gin-config",
    "PIL": "pillow",
    "mamba_ssm": "mamba-ssm",
    "pynvml": "nvidia-ml-py",
}
NEED_A_GPU = {"gpu", "mamba"}  # extras that the tests run without
NEED_THE_PACKAGE = {"fuzz.py", "metrics_page.py", "screenshots.py"}  # run in one, set none up
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def files() -> list[Path]:
    """Every file that git keeps, or would keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: there is no list of the repository's files")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> dict[Path, str]:
    binary = {".npz", ".png", ".pt", ".safetensors", ".gz", ".zip"}
    return {path: path.read_text() for path in files() if path.suffix not in binary}


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path, text in texts().items()
        if path != Path(__file__)
        for number, line in enumerate(text.splitlines(), 1)
        if ABSOLUTE.search(line)
    ]
    assert found == []


def imported(tree: ast.Module) -> set[str]:
    """The first names of every absolute import, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def names(requirements: list[str]) -> set[str]:
    """The distributions that requirements name."""
    return {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}


def test_every_package_that_the_library_imports_is_declared() -> None:
    declared = names([*PROJECT["dependencies"], *chain(*EXTRAS.values())])
    third_party: set[str] = set()
    for path in (ROOT / "amago").rglob("*.py"):
        third_party |= imported(ast.parse(path.read_text()))
    third_party -= {*sys.stdlib_module_names, "amago"}
    assert {INSTALLED_AS.get(name, name) for name in third_party} <= declared


def test_every_dependency_is_pinned_to_the_version_the_tests_ran_with() -> None:
    tested = [needed for extra, needed in EXTRAS.items() if extra not in NEED_A_GPU]
    wanted = names([*PROJECT["dependencies"], *chain(*tested)])
    pins = re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert wanted - {"amago"} == set(pins)


def test_every_extra_that_a_message_tells_to_install_exists() -> None:
    told = {
        node.args[1].value
        for path in (ROOT / "amago").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "MissingExtraError"
        and isinstance(node.args[1], ast.Constant)
    }
    assert told
    assert told <= set(EXTRAS)


def test_set_up_scripts_need_nothing_but_the_standard_library() -> None:
    scripts = [p for p in (ROOT / "scripts").glob("*.py") if p.name not in NEED_THE_PACKAGE]
    local = {path.stem for path in scripts}
    for path in scripts:
        assert imported(ast.parse(path.read_text())) <= {*sys.stdlib_module_names, *local}, path


def test_the_torch_free_tests_import_nothing_that_needs_torch() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from make import TORCH_FREE_TESTS
    finally:
        sys.path.pop(0)
    for folder in TORCH_FREE_TESTS:
        assert (ROOT / folder).exists(), folder
        for path in [ROOT / folder, *(ROOT / folder).rglob("*.py")]:
            if path.suffix == ".py":
                top = [n for n in ast.parse(path.read_text()).body if not isinstance(n, ast.If)]
                assert "torch" not in imported(ast.Module(top, [])), path


def test_the_tree_in_the_architecture_page_is_the_tree() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    block = re.search(r"```text\namago/\n(.*?)```", page, re.DOTALL)
    assert block
    drawn: set[str] = set()
    folders: list[str] = []
    for line in block[1].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        name = line.split()[0]
        folders[depth:] = [name] if name.endswith("/") else []
        if not name.endswith("/"):
            drawn.add("".join(folders) + name)
    package = ROOT / "amago"
    there = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert drawn == {name for name in there if not name.endswith("/__init__.py")}
