"""A run that was killed, or asked to stop, ends as if nothing had happened: bit for bit.

The fingerprint has weights, targets, optimiser, schedule, value statistics, counters, exploration,
random generators, environments and what the policy remembers of them, the dataset's index, every
stored trajectory, and every row of the record.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from small_run import EPOCHS, digest, fingerprint, make_experiment

from amago.envs import AMAGOEnv
from amago.envs.builtin.batched_frozen_lake import BatchedMetaFrozenLake

SCRIPT = Path(__file__).parent / "interrupt.py"


def run(root: Path, *flags: str, **settings: Any) -> dict[str, Any]:
    """What `interrupt.py` prints."""
    command = [sys.executable, str(SCRIPT), str(root), *flags, "--settings", json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function: settings -> the fingerprint of a run that nothing happened to."""

    @cache
    def of(**settings: Any) -> dict[str, str]:
        return run(tmp_path_factory.mktemp("uninterrupted"), **settings)["fingerprint"]

    return of


def assert_same(result: dict[str, Any], expected: dict[str, str]) -> None:
    found = result["fingerprint"]
    assert found == expected, f"differs after interruptions at {result['interruptions']}"


# An epoch has about 200 events, and an attempt that is shorter leaves no checkpoint.


@pytest.mark.slow
def test_fifty_kills_at_random_events_change_nothing(tmp_path, uninterrupted):
    result = run(tmp_path, "--kills", "50", "--longest", "260", "--seed", "1", epochs=24)
    assert len(result["interruptions"]) == 50
    assert_same(result, uninterrupted(epochs=24))


@pytest.mark.slow
def test_twenty_requests_to_stop_change_nothing(tmp_path, uninterrupted):
    result = run(tmp_path, "--kills", "20", "--signal", "TERM", "--longest", "100", "--seed", "2")
    assert len(result["interruptions"]) == 20
    assert_same(result, uninterrupted())


@pytest.mark.slow
def test_kills_change_nothing_where_workers_step_the_environments(tmp_path, uninterrupted):
    result = run(tmp_path, "--kills", "3", "--longest", "260", "--seed", "3", env_mode="async")
    assert len(result["interruptions"]) == 3
    assert_same(result, uninterrupted())


@pytest.mark.slow
def test_a_request_to_stop_that_reaches_every_worker_changes_nothing(tmp_path, uninterrupted):
    flags = ("--kills", "3", "--signal", "TERM", "--longest", "200", "--seed", "6")
    result = run(tmp_path, *flags, env_mode="async", dloader_workers=1)
    assert len(result["interruptions"]) == 3
    assert_same(result, uninterrupted())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "longest"),
    [
        ({"encoder": "gru"}, 300),
        ({"ckpt_interval": 3, "dloader_workers": 1}, 700),
        ({"ckpt_interval": 7, "batches_per_update": 1, "save_trajs_as": "npz-compressed"}, 1500),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_kills_change_nothing_under_other_settings(settings, longest, tmp_path, uninterrupted):
    result = run(tmp_path, "--kills", "4", "--longest", str(longest), "--seed", "4", **settings)
    assert_same(result, uninterrupted(**settings))


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_interrupting_one_of_two_processes_changes_nothing(signal, tmp_path, uninterrupted):
    expected = run(tmp_path / "whole", "--ranks", "2")["fingerprint"]
    flags = ("--ranks", "2", "--kills", "3", "--longest", "300", "--seed", "5")
    assert_same(run(tmp_path / "cut", *flags, "--signal", signal), expected)


def weights_after(root: Path, epochs: int, **settings: Any) -> str:
    experiment = make_experiment(root, epochs=epochs, **settings)
    experiment.start()
    experiment.resume()
    experiment.learn()
    experiment.close()
    assert experiment.epoch == epochs - 1
    return digest(experiment.policy.state_dict())


@pytest.mark.parametrize("seed", [3, None], ids=["seed given", "seed drawn"])
def test_twice_n_epochs_are_n_epochs_resumed_for_n_more(seed, tmp_path):
    first = make_experiment(tmp_path / "a", epochs=4, seed=seed)
    first.start()
    first.learn()
    first.close()
    drawn = first.run_seed
    whole = weights_after(tmp_path / "b", 4, seed=drawn)
    assert digest(first.policy.state_dict()) == whole
    weights_after(tmp_path / "c", 2, seed=drawn)
    assert weights_after(tmp_path / "c", 4, seed=seed) == whole


def make_lakes() -> AMAGOEnv:
    lakes = BatchedMetaFrozenLake(5, size=3, k_episodes=3, hard_mode=True)
    return AMAGOEnv(lakes, env_name="lakes", batched_envs=5)


def test_environments_that_are_a_batch_go_on_where_they_were(tmp_path):
    lakes = {"env_mode": "already_vectorized", "make_train_env": make_lakes}
    lakes |= {"make_val_env": make_lakes}
    whole = weights_after(tmp_path / "whole", 4, **lakes)
    weights_after(tmp_path / "parts", 2, **lakes)
    assert weights_after(tmp_path / "parts", 4, **lakes) == whole
    for part in ("trajectories", "rows"):
        assert fingerprint(tmp_path / "parts")[part] == fingerprint(tmp_path / "whole")[part], part


def test_resume_takes_the_newest_state_that_is_whole_and_names_what_it_skipped(tmp_path):
    weights_after(tmp_path, 3)
    newest = tmp_path / "small" / "ckpts" / "training_states" / "small_epoch_2"
    (newest / "policy.safetensors").write_bytes(b"damaged")
    experiment = make_experiment(tmp_path, epochs=EPOCHS)
    experiment.start()
    with (
        pytest.warns(match="files of the checkpoint are gone"),  # the newest one evicted them
        pytest.warns(match=r"skipped a checkpoint.*policy\.safetensors"),
    ):
        assert experiment.resume()
    assert experiment.epoch == 1
    experiment.close()


def test_there_is_nothing_to_resume_at_first(tmp_path):
    experiment = make_experiment(tmp_path)
    experiment.start()
    assert not experiment.resume()
    experiment.close()
