import gc
import os
import select
import subprocess
import sys
import textwrap
import threading

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from amago.core import config
from amago.core.errors import ConfigError, EnvError
from amago.envs import AMAGOEnv
from amago.envs.exploration import EpsilonGreedy
from amago.envs.pool import AsyncPool, Supervision, make_pool
from amago.envs.pool.members import Recipe
from amago.envs.pool.processes import default_start_method

# What this module defines travels to the workers by value: they cannot import a test module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

METHODS = ("fork", "forkserver", "spawn")


class Box1(gym.Env):
    """Observes its step count. Does `fault` at its second step."""

    observation_space = Box(0, 1000, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self, fault=None):
        self.fault = fault

    def reset(self, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        if self.t == 2 and self.fault is not None:
            self.fault()
        info = {"AMAGO_LOG_METRIC Twice": [self.t, self.t]}
        return np.full(1, self.t, np.float32), 1.0, False, False, info

    def pid(self):
        return os.getpid()

    def parent_pid(self):
        return os.getppid()

    def has_loaded(self, module):
        return module in sys.modules

    def variable(self, name):
        return os.environ.get(name)

    def trip(self):
        raise KeyError("stone")

    def unpicklable(self):
        return threading.Lock()


def box(fault=None):
    return lambda: AMAGOEnv(Box1(fault), "box")


def stumble():
    raise ZeroDivisionError("deep inside")


def actions(pool):
    return np.zeros((pool.num_envs, 1), np.uint8)


def pool_of(factories, exploration=None, max_failures=3, **kwargs):
    limits = Supervision(max_failures=max_failures)
    recipe = Recipe(factories, exploration, seed=0, role="test", supervision=limits)
    return AsyncPool(recipe, **kwargs)


@pytest.fixture
def pool():
    """Three environments in two workers, by the default start method."""
    pool = pool_of([box()] * 3, num_workers=2)
    yield pool
    pool.close()


def open_descriptors():
    return len(os.listdir("/dev/fd"))


def test_environments_are_shared_out_among_the_workers(pool):
    pool.reset()
    pids = pool.call("pid")
    assert len(set(pids)) == 2
    assert os.getpid() not in pids


def test_the_default_start_method_does_not_copy_a_process_with_threads():
    assert default_start_method() in ("forkserver", "spawn")


def test_steps_arrive_with_names_and_metrics(pool):
    assert pool.reset().env_names == ["box"] * 3
    step = pool.step(actions(pool))
    assert step.timestep.obs["observation"].ravel().tolist() == [1, 1, 1]
    assert step.metrics == [(row, "Twice", [1, 1]) for row in range(3)]
    assert step.env_names == ["box"] * 3


def test_description_and_spaces(pool):
    assert pool.description == "AsyncPool(Gym Env x 3)"
    assert pool.single_action_space == Discrete(2)
    assert pool.single_observation_space["observation"].shape == (1,)


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_workers_load_no_torch(method):
    pool = pool_of([box()], mp_context=method)
    assert pool.call("has_loaded", "torch") == [False]
    pool.close()


def test_workers_see_the_environment_variables_of_now(monkeypatch):
    monkeypatch.setenv("AMAGO_TEST_VARIABLE", "now")
    pool = pool_of([box()])
    assert pool.call("variable", "AMAGO_TEST_VARIABLE") == ["now"]
    pool.close()


@pytest.mark.parametrize("method", METHODS)
def test_gin_bindings_reach_the_exploration_in_the_workers(method):
    config.bind({"amago.envs.exploration.EpsilonGreedy.eps_end": 0.25})
    pool = pool_of([box()], EpsilonGreedy, mp_context=method)
    assert pool.call("eps_start_end") == [0.25]
    pool.close()


def test_an_exception_arrives_with_its_traceback():
    pool = pool_of([box(), box(stumble)], max_failures=1, num_workers=2)
    pool.reset()
    pool.step(actions(pool))
    with pytest.raises(EnvError, match="deep inside") as caught:
        pool.step(actions(pool))
    assert "environment 1" in str(caught.value)
    assert "in stumble" in str(caught.value)  # a line of the worker's traceback
    with pytest.raises(EnvError, match="the pool is closed"):
        pool.step(actions(pool))


def test_a_missing_attribute_does_not_harm_the_pool(pool):
    pool.reset()
    with pytest.raises(AttributeError, match="nothing"):
        pool.call("nothing")
    assert pool.call("t") == [0, 0, 0]
    assert pool.step(actions(pool)).reward.tolist() == [1, 1, 1]


@pytest.mark.parametrize("method, message", [("trip", "stone"), ("unpicklable", "pickle")])
def test_a_method_that_raises_does_not_harm_the_pool(pool, method, message):
    pool.reset()
    with pytest.raises(EnvError, match=message):
        pool.call(method)
    assert pool.step(actions(pool)).reward.tolist() == [1, 1, 1]


def test_an_interrupted_step_does_not_answer_the_next_command(pool, monkeypatch):
    pool.reset()
    worker = pool._workers[0]

    def interrupt(timeout_s):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(worker, "receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pool.step(actions(pool))
    step = pool.step(actions(pool))
    assert step.timestep.time_idx.tolist() == [2, 2, 2]


def test_a_factory_that_cannot_be_sent_is_refused_with_what_to_do():
    lock = threading.Lock()
    with pytest.raises(ConfigError, match="async_env_mp_context='fork'"):
        make_pool([lambda: lock and box()()], "async")
    pool = make_pool([lambda: lock and box()()], "async", mp_context="fork")
    assert pool.reset().started.all()
    pool.close()


def test_an_unknown_start_method_is_refused():
    with pytest.raises(ConfigError, match="'threads'; available here"):
        make_pool([box()], "async", mp_context="threads")


def test_different_spaces_in_different_workers_are_refused():
    class Wide(Box1):
        observation_space = Box(0, 1, (2,), np.float32)

    with pytest.raises(ConfigError, match=r"must share their spaces.*environment 1"):
        pool_of([box(), lambda: AMAGOEnv(Wide(), "wide")], num_workers=2)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("method", METHODS)
def test_close_leaves_nothing_behind_and_may_be_repeated(method):
    pool_of([box()], mp_context=method).close()  # a fork server stays, started by now
    gc.collect()  # what earlier tests left for later is not to be counted
    before = open_descriptors()
    pool = pool_of([box()] * 2, mp_context=method, num_workers=2)
    pool.reset()
    pids = pool.call("pid")
    pool.close()
    pool.close()
    assert not any(is_alive(pid) for pid in pids)
    del pool  # with its last arrays goes the shared memory
    assert open_descriptors() == before


def test_a_forgotten_pool_closes_itself():
    pool = pool_of([box()])
    pids = pool.call("pid")
    del pool
    assert not is_alive(pids[0])


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="pidfd_open is Linux's")
@pytest.mark.parametrize("method", METHODS)
def test_workers_end_when_their_parent_is_killed(method):
    program = textwrap.dedent(f"""
        import os, signal, threading
        import gymnasium as gym
        from amago.envs import AMAGOEnv
        from amago.envs.pool import make_pool

        class Pid(gym.Wrapper):
            def pid(self):
                return os.getpid()

        def make():
            return AMAGOEnv(Pid(gym.make("CartPole-v1")), "cartpole")

        pool = make_pool([make, make], "async", mp_context="{method}")
        print(*pool.call("pid"), flush=True)
        threading.Event().wait()
    """)  # without an `if __name__ == "__main__"`: scripts work without
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout as output:
        workers = [os.pidfd_open(int(pid)) for pid in output.readline().split()]
        parent.kill()
    for descriptor in workers:
        ended, _, _ = select.select([descriptor], [], [], 10)
        assert ended
        os.close(descriptor)


def test_a_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import gymnasium as gym
            from amago.envs import AMAGOEnv
            from amago.envs.pool import make_pool

            print("runs")

            class Mine(AMAGOEnv):
                pass

            pool = make_pool([lambda: Mine(gym.make("CartPole-v1"), "c")], "async",
                             mp_context="spawn")
            print(pool.reset().env_names)
        """)
    )
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["runs", "['c']"]
