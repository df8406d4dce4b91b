"""A W&B server of one's own."""

from collections.abc import Iterator

import pytest
from fake_wandb import FakeWandb, serving


@pytest.fixture
def fake_wandb() -> Iterator[FakeWandb]:
    with serving() as server:
        yield server
