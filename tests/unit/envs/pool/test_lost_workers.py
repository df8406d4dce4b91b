"""A worker process that dies, hangs or is stopped, and what cannot be had in the first place."""

import errno
import os
import resource
import signal
import sys
import threading
import time

import cloudpickle
import numpy as np
import pytest

from amago.core.errors import AmagoWarning, EnvError
from amago.core.rng import derive_seed
from amago.envs.exploration import EpsilonGreedy
from amago.envs.pool import shm

cloudpickle.register_pickle_by_value(sys.modules[__name__])

RESTART_S = 5.0
TIMEOUT_S = 0.3


def be_killed(env):
    os.kill(os.getpid(), signal.SIGKILL)


def leave(env):
    os._exit(7)


def hang(env):
    threading.Event().wait()


def be_stopped(env):
    os.kill(os.getpid(), signal.SIGSTOP)


def exhaust_memory(env):
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (1, hard))
    try:
        bytearray(1 << 40)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


LOST = {
    be_killed: "ended unexpectedly .exit code -9.",
    leave: "ended unexpectedly .exit code 7.",
    hang: "did not answer in time",
    be_stopped: "did not answer in time",
}


def obs_of(step):
    return step.timestep.obs["observation"].tolist()


def first_obs(row, episode):
    return [derive_seed(0, "test", row, "episode", episode) % 1000, 0]


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("at", ["step", "reset"])
def test_a_lost_worker_is_replaced_and_only_its_rows_are_cut_off(
    open_pool, frail, stand_still, fault, at
):
    script = {0: (2, fault)} if at == "step" else {1: (0, fault)}
    factories = [frail(), frail(script, horizon=2), frail()]  # the last has a worker of its own
    pool = open_pool(factories, "async", step_timeout_s=TIMEOUT_S)
    pool.reset()
    before = pool.call("pid")
    stand_still(pool)
    start = time.monotonic()
    with pytest.warns(AmagoWarning, match=f"environments 0-1 .test., 'frail', {LOST[fault]}"):
        step = stand_still(pool)
    assert time.monotonic() - start < RESTART_S + TIMEOUT_S
    assert step.interrupted.tolist() == step.started.tolist() == [True, True, False]
    assert step.stepped.tolist() == [False, False, True]
    assert not step.ended.any()
    assert step.reward.tolist() == [0, 0, 1]
    assert step.env_names == ["frail"] * 3
    begun = 1 if at == "step" else 2  # an episode that could not begin is not tried again
    assert obs_of(step)[:2] == [first_obs(0, 1), first_obs(1, begun)]
    assert pool.num_faults == 1
    after = pool.call("pid")
    assert before[0] not in after
    assert before[2] == after[2]
    step = stand_still(pool)
    assert step.stepped.all()
    assert not step.interrupted.any()


def test_the_warning_says_which_environment_the_worker_was_at(open_pool, frail, stand_still):
    pool = open_pool([frail(), frail({0: (1, leave)}), frail()], "async")
    pool.reset()
    with pytest.warns(AmagoWarning, match="environment 1 .'frail'. was the first that had not"):
        stand_still(pool)


def test_an_environment_out_of_memory_is_made_anew(open_pool, frail, stand_still):
    pool = open_pool([frail({0: (1, exhaust_memory)})], "async")
    pool.reset()
    with pytest.warns(AmagoWarning, match="environment 0 .* raised MemoryError in step"):
        assert stand_still(pool).interrupted.all()


def test_a_worker_that_died_between_steps_is_replaced_at_the_next(open_pool, frail, stand_still):
    pool = open_pool([frail(), frail()], "async")
    pool.reset()
    os.kill(pool.call("pid")[1], signal.SIGKILL)
    with pytest.warns(AmagoWarning, match="exit code -9"):
        assert stand_still(pool).interrupted.tolist() == [False, True]


def test_a_worker_that_died_before_a_reset_is_replaced_in_it(open_pool, frail, stand_still):
    pool = open_pool([frail(), frail()], "async")
    pool.reset()
    os.kill(pool.call("pid")[0], signal.SIGKILL)
    with pytest.warns(AmagoWarning, match="exit code -9"):
        step = pool.reset()
    assert step.started.all()
    assert not step.interrupted.any()


def test_a_worker_that_died_in_a_call_is_replaced_at_the_next_step(open_pool, frail, stand_still):
    pool = open_pool([frail(), frail()], "async")
    pool.reset()
    with pytest.raises(EnvError, match="exit code 3"):
        pool.call("die")
    with pytest.raises(EnvError, match="exit code 3"):
        pool.call("pid")
    with pytest.warns(AmagoWarning, match="exit code 3"):
        assert stand_still(pool).interrupted.all()
    assert pool.num_faults == 2
    assert len(pool.call("pid")) == 2


def test_workers_that_die_again_and_again_are_an_error(open_pool, frail, stand_still):
    always = dict.fromkeys(range(9), (1, leave))
    pool = open_pool([frail(always)], "async", max_failures=2)
    pool.reset()
    with pytest.warns(AmagoWarning):
        stand_still(pool)
    with pytest.raises(EnvError, match=r"exit code 7(.|\n)*fault 2 in a row"):
        stand_still(pool)
    with pytest.raises(EnvError, match="the pool is closed"):
        stand_still(pool)


def test_a_worker_that_cannot_be_replaced_is_an_error(open_pool, frail, stand_still):
    in_every_reset = {episode: (0, leave) for episode in range(1, 9)}
    pool = open_pool([frail({0: (1, leave), **in_every_reset})], "async", max_failures=3)
    pool.reset()
    with pytest.raises(EnvError, match="fault 3 in a row"):
        stand_still(pool)


def test_faults_in_a_worker_and_of_it_are_counted_together(open_pool, frail, stand_still):
    script = {0: (1, raise_something), 1: (1, leave), 2: (1, raise_something)}
    pool = open_pool([frail(script)], "async", max_failures=3)
    pool.reset()
    for message in ("KeyError", "exit code 7"):
        with pytest.warns(AmagoWarning, match=message):
            stand_still(pool)
    with pytest.raises(EnvError, match="fault 3 in a row"):
        stand_still(pool)


def raise_something(env):
    raise KeyError("something")


def test_exploration_goes_back_to_where_it_was_remembered(open_pool, frail, stand_still):
    pool = open_pool([frail({0: (6, leave)})], "async", exploration=EpsilonGreedy)
    pool.reset()
    for _ in range(3):
        stand_still(pool)
    pool.remember_exploration()
    stand_still(pool)
    stand_still(pool)
    with pytest.warns(AmagoWarning, match="exploration .* is where it was 3 steps ago"):
        stand_still(pool)
    assert pool.call("global_step") == [3]


def test_a_pool_whose_worker_died_can_still_be_saved(open_pool, frail, stand_still):
    pool = open_pool([frail(), frail()], "async", exploration=EpsilonGreedy, replayable=True)
    pool.reset()
    stand_still(pool)
    os.kill(pool.call("pid")[1], signal.SIGKILL)
    rows = pool.state_dict()["rows"]
    assert [row["env"]["kind"] for row in rows] == ["replay", "none"]
    assert [row["timestep"]["time_idx"].tolist() for row in rows] == [[1], [1]]
    assert rows[1]["exploration"] is not None
    with pytest.warns(AmagoWarning, match="exit code -9"):
        assert stand_still(pool).interrupted.tolist() == [False, True]


def test_a_worker_that_dies_while_it_is_brought_back_begins_anew(open_pool, frail, stand_still):
    # The third episode is the replay of the second one, of a pool that is loaded once more.
    pool = open_pool([frail(), frail({1: (2, leave)})], "async", replayable=True)
    pool.reset()
    for _ in range(3):
        stand_still(pool)
    state = pool.state_dict()
    with pytest.warns(AmagoWarning) as warned:
        step = pool.load_state_dict(state)
    assert "because its worker process died" in str(warned[-1].message)
    assert step.interrupted.tolist() == step.started.tolist() == [False, True]
    assert obs_of(step) == [[first_obs(0, 0)[0], 3], first_obs(1, 1)]
    assert step.env_names == ["frail", "frail"]
    assert stand_still(pool).stepped.all()


@pytest.mark.parametrize("fault", [hang, be_stopped], ids=lambda fault: fault.__name__)
def test_close_does_not_wait_for_a_worker_that_hangs(
    open_pool, frail, stand_still, monkeypatch, fault
):
    monkeypatch.setattr(shm, "_CLOSE_TIMEOUT_S", TIMEOUT_S)
    pool = open_pool([frail({0: (1, fault)})] * 2, "async")
    pool.reset()
    pids = pool.call("pid")
    for worker in pool._workers:
        worker.send(shm.STEP, timeout_s=TIMEOUT_S)
    start = time.monotonic()
    pool.close()
    assert time.monotonic() - start < RESTART_S
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_long_message_to_a_stopped_worker_does_not_wait_for_ever(open_pool, frail, stand_still):
    pool = open_pool([frail()], "async", step_timeout_s=TIMEOUT_S)
    pool.reset()
    os.kill(pool.call("pid")[0], signal.SIGSTOP)
    with pytest.raises(EnvError, match=r"exit code -9|in time"):
        pool.call("mark", np.zeros(10_000_000))
    with pytest.warns(AmagoWarning):
        assert stand_still(pool).interrupted.all()


def test_an_environment_that_takes_too_long_to_make_is_named(open_pool, frail):
    def slow_level():
        threading.Event().wait()

    with pytest.raises(EnvError, match=r"in time.*environment 1 was made by .*slow_level"):
        open_pool([frail(), slow_level, frail()], "async", start_timeout_s=TIMEOUT_S)


def test_an_environment_that_kills_its_worker_when_made_is_named(open_pool, frail):
    def crashing_level():
        os._exit(9)

    with pytest.raises(EnvError, match=r"exit code 9.*environment 2 was made by .*crashing_level"):
        open_pool([frail(), frail(), crashing_level], "async")


@pytest.mark.parametrize("function", ["memfd_create", "posix_fallocate"])
def test_without_shared_memory_the_way_out_is_named(open_pool, frail, monkeypatch, function):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(EnvError, match=r"No space left on device.*env_mode='sync'"):
        open_pool([frail()], "async")
