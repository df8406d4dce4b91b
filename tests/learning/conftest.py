"""Where the learning runs leave their numbers."""

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture
def results_dir(tmp_path: Path) -> Path:
    """The folder named by AMAGO_RESULTS, or one that goes away."""
    return Path(os.environ.get("AMAGO_RESULTS", tmp_path / "results"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small networks are fastest on one thread, and seeds can then run side by side."""
    torch.set_num_threads(1)
