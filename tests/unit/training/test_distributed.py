"""One process costs nothing; several share gradients and average reports."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from amago.core.errors import ConfigError
from amago.training.distributed import Ranks
from amago.training.optimizers import adamw, get_constant_schedule_with_warmup


def alone(mixed_precision: str = "no") -> Ranks:
    return Ranks(mixed_precision, batches_per_update=1)


def test_one_process_is_the_main_one_and_reports_as_it_is():
    ranks = alone()
    assert (ranks.rank, ranks.world_size, ranks.is_main) == (0, 1, True)
    metrics = {"Loss": torch.tensor(2.0), "note": "text"}
    assert ranks.mean(metrics) == metrics
    assert ranks.sum(metrics) == metrics
    assert ranks.gather(3) == [3]
    assert ranks.broadcast("x") == "x"
    ranks.barrier()


def test_one_process_prepares_without_wrapping_the_model_or_the_schedule():
    ranks = alone()
    model = nn.Linear(2, 2)
    optimizer = adamw(model.parameters(), lr=0.1, weight_decay=0.0)
    schedule = get_constant_schedule_with_warmup(optimizer, 10)
    prepared, _, prepared_schedule = ranks.prepare(model, optimizer, schedule)
    assert prepared is model
    assert prepared_schedule is schedule
    assert ranks.unwrap(prepared) is model


def test_a_prepared_loader_yields_every_batch_and_is_forgotten():
    ranks = alone()
    for _ in range(3):
        loader = ranks.prepare(DataLoader(range(6), batch_size=2))
        assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]
    assert ranks.accelerator._dataloaders == []


def test_a_window_closes_at_the_end_of_a_loader():
    ranks = Ranks("no", batches_per_update=2)
    loader = ranks.prepare(DataLoader(range(3), batch_size=1))
    closes = []
    for _ in loader:
        with ranks.accumulate(nn.Linear(1, 1)):
            closes.append(ranks.sync_gradients)
    assert closes == [False, True, True]


@pytest.mark.parametrize(("precision", "dtype"), [("no", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_has_the_chosen_dtype(precision: str, dtype: torch.dtype):
    with alone(precision).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_a_second_experiment_may_choose_another_precision():
    assert [alone(p).accelerator.mixed_precision for p in ("no", "bf16", "no")] == [
        "no",
        "bf16",
        "no",
    ]


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match="mixed_precision is 'fp8'; choose from no, bf16, fp16"):
        alone("fp8")


def test_fp16_without_a_gpu_is_refused_with_what_to_use():
    with pytest.raises(ConfigError, match="Use 'bf16' or 'no'"):
        alone("fp16")


PROGRAM = """
    import os, sys
    import torch, torch.distributed
    from torch import nn
    from torch.utils.data import DataLoader

    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if world > 1:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")  # read, but not used
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world
        )
    from amago.training.distributed import Ranks
    from amago.training.learner import Learner
    from amago.training.optimizers import adamw, get_constant_schedule_with_warmup

    class Policy(nn.Linear):
        update_info = {}
        trainable_params = property(lambda self: self.parameters())
        def forward(self, batch, log_step):
            return super().forward(batch).square().mean()
        def soft_sync_targets(self): pass
        def get_grad_norms(self): return {}

    torch.manual_seed(0)
    data = torch.randn(16, 3)
    policy = Policy(3, 2)
    ranks = Ranks("no", 1)
    assert (ranks.rank, ranks.world_size) == (rank, world)
    optimizer = adamw(policy.parameters(), lr=0.1, weight_decay=0.0)
    schedule = get_constant_schedule_with_warmup(optimizer, 8)
    wrapped, optimizer, schedule = ranks.prepare(policy, optimizer, schedule)
    assert ranks.unwrap(wrapped) is policy
    learner = Learner(wrapped, policy, optimizer, schedule, ranks, grad_clip=1.0)
    for batch in ranks.prepare(DataLoader(data, batch_size=4 // world)):
        learner.step(batch, False)
    assert learner.updates == 4
    assert schedule.get_last_lr()[0] == 0.1 * 4 / 8
    reported = {"all": float(rank), f"only {rank}": 5.0, "note": f"from {rank}"}
    mean, total = ranks.mean(reported), ranks.sum(reported)
    if world > 1:
        assert mean == {"all": 0.5, "only 0": 5.0, "note": "from 0", "only 1": 5.0}, mean
        assert total["all"] == 1.0
        assert ranks.broadcast(f"seed of {rank}") == "seed of 0"
    ranks.barrier()
    torch.save(policy.state_dict(), f"{folder}/{world}-{rank}.pt")

    ranks.batches_per_update = 8  # a window that stays open: each process has its own gradient
    learner.step(data[rank : rank + 1], False)
    gradient = policy.weight.grad.clone()
    state = learner.state_dict()
    assert len(state["window"]["gradients_by_rank"]) == world
    learner.load_state_dict(state)
    assert learner.is_window_open
    assert torch.equal(policy.weight.grad, gradient)
    if world > 1:
        torch.distributed.destroy_process_group()
"""


def launch(folder: Path, world: int) -> list[subprocess.Popen]:
    env = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "ACCELERATE_USE_CPU": "true"}
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    return [
        subprocess.Popen(
            [*program, str(rank), str(world), str(folder)], env=env, stderr=subprocess.PIPE
        )
        for rank in range(world)
    ]


@pytest.mark.slow  # two more processes that import torch
def test_two_processes_with_half_the_batch_learn_what_one_learns(tmp_path: Path):
    for process in launch(tmp_path, 2) + launch(tmp_path, 1):
        with process:
            _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    one, first, second = (torch.load(tmp_path / f"{n}.pt") for n in ("1-0", "2-0", "2-1"))
    for name, expected in one.items():
        torch.testing.assert_close(first[name], expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(first[name], second[name])
