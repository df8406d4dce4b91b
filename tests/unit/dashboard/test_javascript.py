"""The page's own logic, tested by node where it is installed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1] / "dashboard_js"


def _node() -> str:
    """Node, if it is there and new enough to see for itself that a `.js` file is a module."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; it tests the page's JavaScript")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    numbers = re.match(r"v(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < (20, 19):
        pytest.skip(f"node {version.strip()} is too old to load the page's modules; 20.19 does")
    return node


def test_the_pages_logic_passes_its_own_tests() -> None:
    files = sorted(TESTS.glob("*.test.mjs"))
    assert files
    # All in one process: `node --test FILES` starts one for each file.
    program = "\n".join(f"await import({json.dumps(file.as_uri())});" for file in files)
    command = [_node(), "--input-type=module", "--eval", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tests, failures = re.findall(r"^# (?:tests|fail) (\d+)$", done.stdout, re.MULTILINE)
    assert int(tests) > len(files)
    assert int(failures) == 0
