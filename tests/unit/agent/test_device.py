"""Between log steps an update must never wait for the device."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from amago.agent import Agent, MultiTaskAgent
from amago.core.config import bind
from amago.nets.policy_dists import GMM, Beta, TanhGaussian

READS_BACK = {
    "_local_scalar_dense",  # .item(), bool(), float()
    "equal",
    "is_nonzero",
    "masked_select",
    "multinomial",  # checks its weights
    "nonzero",
    "unique",
    "_unique2",
}


class NoReadBack(TorchDispatchMode):
    """Raises on operations that, on a GPU, stop the host until the device is done."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in READS_BACK, f"{name} reads a number back"
        if name in ("index", "index_put", "index_put_"):
            for index in args[1]:
                assert index is None or index.dtype != torch.bool, f"{name} by a mask reads back"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("kind", "dist_type"),
    [
        ("discrete", None),
        ("multibinary", None),
        ("continuous", TanhGaussian),
        ("continuous", Beta),
        ("continuous", GMM),
    ],
)
@pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])
def test_an_update_reads_nothing_back(make_agent, make_batch, cls, kind: str, dist_type):
    if dist_type is not None:
        bind({"Actor.continuous_dist_type": dist_type})
    online = 0.0 if kind == "multibinary" or dist_type is GMM else 1.0
    agent, batch = make_agent(kind, cls, online_coeff=online, n_step=3), make_batch(kind)
    with NoReadBack():
        agent(batch, log_step=False).backward()
        agent.soft_sync_targets()
    assert any(parameter.grad is not None for parameter in agent.parameters())


def test_the_check_bites():
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NoReadBack():
        torch.ones(1).item()
    with pytest.raises(AssertionError, match="by a mask"), NoReadBack():
        torch.ones(2)[torch.tensor([True, False])]
