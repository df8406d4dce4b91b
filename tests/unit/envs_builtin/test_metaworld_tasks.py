"""Benchmarks of the real Meta-World: names, variants, their cache. And one simulator."""

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from amago.core.errors import AmagoWarning, ConfigError, MissingExtraError
from amago.core.rng import derive_seed
from amago.envs.builtin import metaworld_tasks
from amago.envs.builtin.metaworld_ml import KEpisodeMetaworld, Metaworld, pinned_tasks
from amago.envs.builtin.metaworld_tasks import MetaworldBenchmark, variants
from amago.envs.pool import make_pool

NEEDS_IT = "Meta-World is not installed: pip install 'amago[metaworld]'"


@pytest.fixture
def metaworld():
    return pytest.importorskip("metaworld", reason=NEEDS_IT)


@pytest.fixture(scope="module")
def filled_cache(tmp_path_factory):
    """A cache with the variants of reach-v3, which takes a moment to fill."""
    pytest.importorskip("metaworld", reason=NEEDS_IT)
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        variants.cache_clear()
        variants("reach-v3", "train", 0)
    return cache


@pytest.fixture
def cache(filled_cache, monkeypatch):
    """That cache, and nothing remembered by this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(filled_cache))
    variants.cache_clear()
    yield filled_cache
    variants.cache_clear()


@pytest.fixture
def builds(monkeypatch):
    """What was built, instead of taking half a second for each."""
    built = []

    def build(name, split, seed):
        built.append((name, split, seed))
        return np.full((50, 6), float(len(built)))

    monkeypatch.setattr(metaworld_tasks, "_built", build)
    return built


@pytest.fixture
def empty_cache(tmp_path, monkeypatch, metaworld):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    variants.cache_clear()
    yield tmp_path
    variants.cache_clear()


def the_file(cache: Path) -> Path:
    (path,) = cache.rglob("*.npz")
    return path


# ---------------------------------------------------------------------------------- benchmarks


def test_ml45_and_ml10_have_their_tasks(metaworld):
    ml45, ml10 = MetaworldBenchmark("ml45"), MetaworldBenchmark("ML10")
    assert (len(ml45.names("train")), len(ml45.names("test"))) == (45, 5)
    assert (len(ml10.names("train")), len(ml10.names("test"))) == (10, 5)
    assert not set(ml45.names("train")) & set(ml45.names("test"))
    assert ml45.names("train")[0] == "assembly-v3"
    assert ml10.name == "ml10"


def test_the_name_of_a_task_is_ml1(metaworld):
    benchmark = MetaworldBenchmark("reach-v3")
    assert benchmark.names("train") == benchmark.names("test") == ["reach-v3"]


def test_names_of_meta_world_2_are_taken_with_a_note(metaworld):
    with pytest.warns(AmagoWarning, match="'reach-v2' is called 'reach-v3' now"):
        assert MetaworldBenchmark("reach-v2").name == "reach-v3"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ml46", "no benchmark or task 'ml46'; did you mean 'ml45'"),
        ("raech-v3", "did you mean 'reach-v3'"),
        ("raech-v2", "no benchmark or task 'raech-v2'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(metaworld, name, message):
    with pytest.raises(ConfigError, match=message):
        MetaworldBenchmark(name)


def test_another_split_is_refused(metaworld):
    with pytest.raises(ConfigError, match="'train' and 'test', not 'val'"):
        MetaworldBenchmark("ml10").names("val")


def test_pinned_tasks_of_ml45_travel_by_name(metaworld):
    factories = pinned_tasks("ml45", "train", 3)
    assert [factory.keywords["task"] for factory in factories][-1] == "window-close-v3"
    assert all(factory.args == ("ml45", "train", 3, 500) for factory in factories)


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "metaworld", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'amago\[metaworld\]'"):
        Metaworld("ml45", "train", 3)


def test_a_script_named_like_the_package_is_told_so(monkeypatch, tmp_path):
    (tmp_path / "metaworld.py").write_text("")
    monkeypatch.setitem(sys.modules, "metaworld", None)  # put back what was there afterwards
    del sys.modules["metaworld"]
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"metaworld\.py under the name of the package"):
        MetaworldBenchmark("ml10")


def test_importing_the_suite_imports_no_meta_world():
    code = (
        "import sys, amago.envs.builtin.metaworld_ml as suite; "
        "sys.exit(bool({'metaworld', 'mujoco', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------------------------ variants


def test_variants_are_drawn_as_meta_world_draws_them(cache):
    drawn = variants("reach-v3", "train", 0)
    simulator = MetaworldBenchmark("reach-v3").simulator("reach-v3")
    simulator.seeded_rand_vec, simulator._freeze_rand_vec = True, False
    simulator.seed(derive_seed(0, "metaworld", "reach-v3", "train"))
    for row in drawn[:10]:
        simulator.reset()  # with all of its physics
        np.testing.assert_array_equal(simulator._last_rand_vec, row)
    assert drawn.shape == (50, 6)
    assert len(np.unique(drawn, axis=0)) == 50


def test_meta_world_takes_the_same_content_for_a_task(cache, metaworld):
    (own, *_), (theirs, *_) = (
        MetaworldBenchmark("reach-v3").tasks("reach-v3", "train"),
        metaworld.CustomML(["reach-v3"], [], seed=0).train_tasks,
    )
    assert own.env_name == theirs.env_name
    ours, others = pickle.loads(own.data), pickle.loads(theirs.data)
    assert ours.keys() == others.keys()
    assert ours.pop("rand_vec").shape == others.pop("rand_vec").shape
    assert ours == others


def test_the_global_random_state_is_left_alone(empty_cache):
    before = np.random.get_state()[1].copy()
    built = variants("reach-v3", "train", 3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    variants.cache_clear()
    np.testing.assert_array_equal(variants("reach-v3", "train", 3), built)


def test_variants_are_built_once_and_read_afterwards(empty_cache, builds):
    first = variants("push-v3", "train", 0)
    variants.cache_clear()  # as another process would have it
    np.testing.assert_array_equal(variants("push-v3", "train", 0), first)
    assert builds == [("push-v3", "train", 0)]


def test_name_split_and_seed_have_variants_of_their_own(empty_cache, builds):
    asked = [("push-v3", "train", 0), ("push-v3", "test", 0), ("push-v3", "train", 1)]
    for each in asked:
        variants(*each)
    assert builds == asked


@pytest.mark.parametrize("damage", ["cut", "empty", "other arrays", "too few"])
def test_a_damaged_file_is_built_again(empty_cache, builds, damage):
    variants("push-v3", "train", 0)
    path = the_file(empty_cache)
    if damage in ("cut", "empty"):
        path.write_bytes(path.read_bytes()[: 1000 if damage == "cut" else 0])
    elif damage == "other arrays":
        np.savez(path, something=np.zeros(3))
    else:
        np.savez(path, variants=np.zeros((49, 6)))
    variants.cache_clear()
    np.testing.assert_array_equal(variants("push-v3", "train", 0), np.full((50, 6), 2.0))
    variants.cache_clear()
    variants("push-v3", "train", 0)
    assert len(builds) == 2


def test_who_waits_for_another_builder_reads_what_it_built(empty_cache, monkeypatch):
    building, may_finish, built = threading.Event(), threading.Event(), []

    def build(name, split, seed):
        built.append(name)
        building.set()
        assert may_finish.wait(30)
        return np.zeros((50, 6))

    monkeypatch.setattr(metaworld_tasks, "_built", build)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(variants.__wrapped__("push-v3", "train", 0)))
        for _ in range(2)
    ]
    threads[0].start()
    assert building.wait(30)
    threads[1].start()
    may_finish.set()
    for thread in threads:
        thread.join()
    assert built == ["push-v3"]
    assert len(results) == 2


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path, monkeypatch, metaworld, builds):
    (tmp_path / "amago").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    variants.cache_clear()
    with pytest.warns(AmagoWarning, match="cannot be kept in .*XDG_CACHE_HOME"):
        assert variants("push-v3", "train", 0).shape == (50, 6)
    variants.cache_clear()


# ----------------------------------------------------------------------------------- simulator


def played(env, seed):
    """Observations and rewards under random actions."""
    actions = np.random.default_rng(1).uniform(-1, 1, (10, 4)).astype(np.float32)
    seen = [env.reset(seed=seed)[0]]
    rewards = []
    for action in actions:
        obs, reward, *_ = env.step(action)
        seen.append(obs)
        rewards.append(reward)
    return np.array(seen), np.array(rewards)


def test_a_seed_gives_the_same_trajectory_also_on_a_used_simulator(cache):
    used = KEpisodeMetaworld("reach-v3", "train", 2, 5)
    played(used, seed=1)
    fresh = KEpisodeMetaworld("reach-v3", "train", 2, 5)
    for one, other in zip(played(used, seed=2), played(fresh, seed=2), strict=True):
        np.testing.assert_array_equal(one, other)
    obs, _ = played(fresh, seed=2)
    np.testing.assert_array_equal(obs[0], obs[5])  # every attempt begins in the same state
    assert not np.array_equal(obs[1], obs[6])  # and then depends on the actions


def test_other_seeds_give_other_goals_which_the_observation_does_not_show(cache):
    env = KEpisodeMetaworld("reach-v3", "train", 2, 5)
    goals = []
    for seed in range(5):
        obs, _ = env.reset(seed=seed)
        assert not obs[36:39].any()
        goals.append(tuple(env._simulator._target_pos))
    assert len(set(goals)) > 2


def test_benchmark_objects_of_meta_world_are_taken(cache, metaworld):
    class OneTask:
        """What `metaworld.ML1` offers, without the second that it takes to make one."""

        train_classes = test_classes = {"reach-v3": metaworld.ALL_V3_ENVIRONMENTS["reach-v3"]}
        train_tasks = MetaworldBenchmark("reach-v3").tasks("reach-v3", "train")[:2]
        test_tasks = ()

    env = KEpisodeMetaworld(OneTask(), "train", 2, 5)
    assert env.task_name == "reach-v3"
    obs, rewards = played(env, seed=0)
    assert obs.shape == (11, 40)
    assert np.all(rewards > 0)


def test_a_rollout_in_the_wrapper_ends_after_its_attempts(cache):
    env = Metaworld("reach-v3", "train", 2, 5)
    assert env.env_name == "reach-v3"
    env.reset(seed=0)
    ends = [env.step(np.zeros(4, dtype=np.float32)) for _ in range(10)]
    assert [bool(truncated[0]) for *_, truncated, _ in ends] == [False] * 9 + [True]
    assert len(ends[-1][-1]) == 3


def test_a_resumed_pool_goes_on_exactly_where_it_was(cache):
    actions = np.random.default_rng(2).uniform(-1, 1, (12, 2, 4)).astype(np.float32)

    def pool():
        factories = pinned_tasks("reach-v3", "train", 2, 5, actors=2)
        return make_pool(factories, "sync", replayable=True)

    def steps(envs, some):
        seen = []
        for action in some:
            step = envs.step(action)
            seen.append((step.timestep.obs["observation"].copy(), step.reward.copy()))
        return seen

    first, second = pool(), pool()
    first.reset()
    steps(first, actions[:7])  # in the second attempt
    state = first.state_dict()
    expected = steps(first, actions[7:])
    second.load_state_dict(state)
    for (obs, reward), (obs_again, reward_again) in zip(
        expected, steps(second, actions[7:]), strict=True
    ):
        np.testing.assert_array_equal(obs, obs_again)
        np.testing.assert_array_equal(reward, reward_again)
