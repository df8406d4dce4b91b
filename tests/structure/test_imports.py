"""What an import costs and drags in, and that every declared public name is there."""

import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import amago

ROOT = Path(amago.__file__).parent.parent
HEAVY = ("torch", "accelerate", "wandb", "matplotlib")
GENEROUS_S = 5.0  # of processor time; a busy machine does not count against it
PROBE = """
import json, sys, time
start = time.process_time()
import {module}
print(json.dumps([time.process_time() - start, [m for m in {heavy} if m in sys.modules]]))
"""


def imported_by(module: str) -> tuple[float, list[str]]:
    """Processor seconds that the import took in a new process, and the heavy modules it loaded."""
    code = PROBE.format(module=module, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, heavy = json.loads(done.stdout)
    return seconds, heavy


@pytest.mark.parametrize(
    "module",
    [
        "amago",
        "amago.core.config",
        "amago.envs",
        "amago.envs.amago_env",
        "amago.envs.builtin.toy_gym",
        "amago.envs.builtin.tmaze",
        "amago.envs.exploration",
        "amago.envs.pool",
        "amago.hindsight",
        "amago.rollout.recorder",
        "amago.tracking",
    ],
)
def test_starts_light(module: str, record_property) -> None:
    seconds, heavy = imported_by(module)
    record_property("processor_s", seconds)
    assert heavy == []
    assert seconds < GENEROUS_S


COMPILER = ("torch._dynamo", "torch._inductor", "torch.distributed.tensor", "sympy")
TRAIN = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, "tests/resume")
from small_run import make_experiment
with tempfile.TemporaryDirectory() as folder:
    experiment = make_experiment(Path(folder), epochs=1, mixed_precision="{precision}")
    experiment.start()
    experiment.learn()
    experiment.close()
assert experiment.learner.updates > 0
print([m for m in {compiler} if m in sys.modules])
"""


@pytest.mark.slow  # two runs in new processes
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_run_that_compiles_nothing_does_without_the_compiler(precision: str) -> None:
    """It would cost 120 MB and seconds: torch's own optimiser and accelerate import it unasked."""
    code = TRAIN.format(precision=precision, compiler=COMPILER)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def modules() -> list[str]:
    """Every module of the package but the one that runs it."""
    found = pkgutil.walk_packages(amago.__path__, "amago.")
    return [module.name for module in found if not module.name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_every_name_in_all_resolves(name: str) -> None:
    module = import_module(name)
    missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
    assert missing == []
