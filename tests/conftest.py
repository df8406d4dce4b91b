"""What every test starts from: one thread, fixed seeds, no binding, no network, no screen.

torch is never imported here: the tests of the torch-free half run where it is not installed.
"""

import os
import random
import sys
from collections.abc import Iterator

import numpy as np
import pytest

# Set before any test module is imported: these libraries read them once.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    MPLBACKEND="Agg",
    SDL_VIDEODRIVER="dummy",
    WANDB_MODE="disabled",
    WANDB_SILENT="true",
    HF_HUB_OFFLINE="1",
)
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the same numbers with and without a GPU

SEED = 0


def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis, if installed: the same examples every time, no deadline on a busy machine."""
    try:
        from hypothesis import settings
    except ImportError:
        return
    settings.register_profile("amago", derandomize=True, deadline=None, database=None)
    settings.load_profile("amago")


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Every global generator starts from the same state in every test, in any order."""
    random.seed(SEED)
    np.random.seed(SEED)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
        torch.manual_seed(SEED)


@pytest.fixture(autouse=True)
def no_bindings_left() -> Iterator[None]:
    """gin's bindings are global: what one test binds, the next must not see."""
    yield
    config = sys.modules.get("amago.core.config")
    if config is not None:
        config.clear()


@pytest.fixture(autouse=True)
def no_wandb_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account and project of whoever runs the tests stay out of them."""
    for name in ("WANDB_API_KEY", "AMAGO_WANDB_PROJECT", "AMAGO_WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
