import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amago.core.errors import ConfigError
from amago.envs.pool.base import PoolStep
from amago.hindsight import Timestep, Trajectory
from amago.loading import load_traj_from_disk
from amago.loading.filenames import sequence_of
from amago.rollout.recorder import Recorder


def batch(rows):
    """One Timestep of many (env, episode, t, terminal) rows."""
    env, episode, t, terminal = (np.array(column) for column in zip(*rows, strict=True))
    value = (100_000 * env + 1000 * episode + t).astype(np.float32)
    return Timestep(
        obs={"x": np.stack((value, -value), axis=1), "n": (t % 256).astype(np.uint8)},
        prev_action=np.stack((t % 2, t % 3 == 0, t > 4), axis=1).astype(np.uint8),
        reward=np.where(t > 0, value, 0).astype(np.float32),
        time_idx=t.astype(np.int64),
        terminal=terminal.astype(bool),
        batched_envs=len(rows),
    )


class Worlds:
    """`N` environments whose episode lengths are given, stepped as a pool would.

    Args:
        lengths: per environment, transitions of its episodes; repeated for ever.
        resets_later: an ended environment uses its next step to reset.
        pauses: an ended environment is absent for two steps before it starts again.
    """

    def __init__(self, lengths, resets_later=False, pauses=False):
        self.lengths, self.resets_later, self.pauses = lengths, resets_later, pauses
        self.n = len(lengths)
        self.episode, self.t, self.absent = [0] * self.n, [0] * self.n, [0] * self.n

    def row(self, i, terminal=False):
        return i, self.episode[i], self.t[i], terminal

    def pool_step(self, rows, final, **flags):
        zeros = {key: np.zeros(self.n, bool) for key in ("terminated", "truncated", "started")}
        flags = {**zeros, "stepped": np.ones(self.n, bool), **flags}
        names = [f"World_{i}" for i in range(self.n)]
        timestep = batch(rows)
        return PoolStep(timestep, final, timestep.reward, env_names=names, **flags)

    def reset(self):
        rows = [self.row(i) for i in range(self.n)]
        everywhere, nowhere = np.ones(self.n, bool), np.zeros(self.n, bool)
        return self.pool_step(rows, batch(rows), started=everywhere, stepped=nowhere)

    def step(self):
        flags = {k: np.zeros(self.n, bool) for k in ("terminated", "truncated", "started")}
        stepped = np.ones(self.n, bool)
        rows, finals = [], []
        for i in range(self.n):
            if self.absent[i]:
                self.absent[i] -= 1
                stepped[i] = False
                flags["started"][i] = self.absent[i] == 0
                rows.append(self.row(i))
                finals.append((9, 9, 9, True))
                continue
            self.t[i] += 1
            length = self.lengths[i][self.episode[i] % len(self.lengths[i])]
            if self.t[i] < length:
                rows.append(self.row(i))
                finals.append((9, 9, 9, True))
                continue
            kind = "terminated" if self.episode[i] % 2 == 0 else "truncated"
            flags[kind][i] = True
            finals.append(self.row(i, terminal=kind == "terminated"))
            self.episode[i] += 1
            self.t[i] = 0
            self.absent[i] = 3 if self.pauses else int(self.resets_later)
            flags["started"][i] = not self.absent[i]
            rows.append(self.row(i))
        return self.pool_step(rows, batch(finals), stepped=stepped, **flags)


class PlainRecorder:
    """The same as `Recorder`, with one list of timesteps an environment."""

    def __init__(self, limit=None):
        self.limit, self.active, self.finished = limit, {}, []

    def begin(self, step):
        self.active = {i: [self.single(step.timestep, i)] for i in range(len(step.env_names))}

    def single(self, timestep, i):
        """Row `i`, copied."""
        return Timestep(
            obs={k: v[i : i + 1].copy() for k, v in timestep.obs.items()},
            prev_action=timestep.prev_action[i : i + 1].copy(),
            reward=timestep.reward[i : i + 1].copy(),
            time_idx=timestep.time_idx[i : i + 1].copy(),
            terminal=timestep.terminal[i : i + 1].copy(),
            batched_envs=1,
        )

    def finish(self, i):
        self.finished.append((i, Trajectory(self.active.pop(i))))

    def observe(self, step):
        for i in range(len(step.env_names)):
            if step.stepped[i]:
                source = step.final if step.ended[i] else step.timestep
                self.active[i].append(self.single(source, i))
            if step.stepped[i] and step.ended[i]:
                self.finish(i)
            elif step.stepped[i] and self.limit and len(self.active[i]) > self.limit:
                last = self.active[i][-1]
                self.finish(i)
                self.active[i] = [last]
            if step.started[i]:
                self.active[i] = [self.single(step.timestep, i)]


def assert_same(found, expected):
    for key, value in expected.to_dict().items():
        got = found.to_dict()[key]
        np.testing.assert_array_equal(got, value, err_msg=key)
        assert got.dtype == value.dtype, key


def run(tmp_path, worlds, steps, limit=None, **kwargs):
    limits = None if limit is None else (limit, limit)
    recorder = Recorder(worlds.n, str(tmp_path), limits, **kwargs)
    plain = PlainRecorder(limit)
    first = worlds.reset()
    recorder.begin(first)
    plain.begin(first)
    for _ in range(steps):
        step = worlds.step()
        recorder.observe(step)
        plain.observe(step)
    return recorder, plain


@settings(max_examples=25)
@given(
    lengths=st.lists(
        st.lists(st.integers(1, 40), min_size=1, max_size=4), min_size=1, max_size=4
    ),
    limit=st.one_of(st.none(), st.integers(1, 25)),
    style=st.sampled_from(["same step", "next step", "pauses"]),
)  # fmt: skip
def test_it_records_what_lists_of_timesteps_would(tmp_path_factory, lengths, limit, style):
    worlds = Worlds(lengths, resets_later=style == "next step", pauses=style == "pauses")
    directory = tmp_path_factory.mktemp("fifo")
    recorder, plain = run(directory, worlds, steps=180, limit=limit)
    found = sorted(((x.row, x.traj) for x in recorder.finished), key=lambda pair: pair[0])
    expected = sorted(plain.finished, key=lambda pair: pair[0])
    assert [row for row, _ in found] == [row for row, _ in expected]
    for (_, traj), (_, wanted) in zip(found, expected, strict=True):
        assert_same(traj, wanted.freeze())
    for row in range(worlds.n):
        if row in plain.active:
            assert_same(recorder.active(row), Trajectory(plain.active[row]).freeze())
        else:
            assert recorder.active(row) is None


def test_an_environment_that_is_away_in_mid_episode_adds_nothing(tmp_path):
    recorder = Recorder(2, str(tmp_path), None)
    recorder.begin(Worlds([[9], [9]]).reset())
    worlds = Worlds([[9], [9]])
    worlds.reset()
    for t in range(1, 10):
        step = worlds.step()
        if t in (3, 4):  # row 0 answers nothing; its world goes on unseen
            step.stepped[0] = False
        recorder.observe(step)
    by_row = {item.row: item.traj for item in recorder.finished}
    assert by_row[0].time_idxs[:, 0].tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
    assert by_row[0].rews[:, 0].tolist() == [1, 2, 5, 6, 7, 8, 9]
    assert by_row[1].time_idxs[:, 0].tolist() == list(range(10))


def test_a_split_timestep_is_the_last_of_one_file_and_the_first_of_the_next(tmp_path):
    recorder, _ = run(tmp_path, Worlds([[10]]), steps=10, limit=4)
    times = [item.traj.time_idxs[:, 0].tolist() for item in recorder.finished]
    assert times == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9, 10]]
    rewards = np.concatenate([item.traj.rews[:, 0] for item in recorder.finished])
    assert rewards.tolist() == list(range(1, 11))
    assert [item.traj.dones.any() for item in recorder.finished] == [False, False, True]


def test_an_episode_that_ends_at_the_limit_leaves_no_single_timestep(tmp_path):
    recorder, _ = run(tmp_path, Worlds([[4]]), steps=4, limit=4)
    assert [len(item.traj.time_idxs) for item in recorder.finished] == [5]


def test_limits_are_drawn_for_each_file_and_repeat_with_the_seed(tmp_path):
    def lengths(seed):
        recorder = Recorder(1, str(tmp_path), (3, 9), seed=seed)
        worlds = Worlds([[10**6]])
        recorder.begin(worlds.reset())
        for _ in range(400):
            recorder.observe(worlds.step())
        return [len(item.traj.rews) for item in recorder.finished]

    assert set(lengths(0)) == set(range(3, 10))
    assert lengths(0) == lengths(0) != lengths(1)


def test_observe_returns_what_it_finished(tmp_path):
    recorder, worlds = Recorder(2, str(tmp_path), None), Worlds([[2], [3]])
    recorder.begin(worlds.reset())
    rows = [[item.row for item in recorder.observe(worlds.step())] for _ in range(4)]
    assert rows == [[], [0], [1], [0]]


def test_what_a_pool_overwrites_later_was_copied(tmp_path):
    recorder, worlds = Recorder(1, str(tmp_path), None), Worlds([[3]])
    steps = [worlds.reset(), *(worlds.step() for _ in range(3))]
    recorder.begin(steps[0])
    for step in steps[1:]:
        recorder.observe(step)
    expected = recorder.finished[0].traj.obs["x"].tolist()
    for step in steps:
        for timestep in (step.timestep, step.final):
            timestep.obs["x"][:] = 77
    assert recorder.finished[0].traj.obs["x"].tolist() == expected


def test_beginning_again_drops_what_was_unfinished(tmp_path):
    recorder, worlds = Recorder(1, str(tmp_path), None), Worlds([[5]])
    recorder.begin(worlds.reset())
    recorder.observe(worlds.step())
    recorder.begin(Worlds([[5]]).reset())
    assert len(recorder.active(0).time_idxs) == 1
    assert not recorder.finished


def test_observing_without_a_reset_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="before begin"):
        Recorder(1, str(tmp_path), None).observe(Worlds([[5]]).reset())


def test_nothing_is_recorded_without_a_directory():
    recorder, worlds = Recorder(1, None, (2, 3)), Worlds([[2]])
    recorder.begin(worlds.reset())
    assert [recorder.observe(worlds.step()) for _ in range(4)] == [[]] * 4
    assert recorder.save_finished() == 0
    assert recorder.active(0) is None


# ------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("save_as", ["npz", "npz-compressed", "trajectory", "traj"])
def test_files_hold_the_trajectories(tmp_path, save_as):
    recorder, plain = run(tmp_path, Worlds([[3], [5]]), steps=7, save_as=save_as)
    assert recorder.save_finished() == 3
    assert not recorder.finished
    names = sorted(os.listdir(tmp_path), key=sequence_of)
    for name, (_, wanted) in zip(names, plain.finished, strict=True):
        found = load_traj_from_disk(str(tmp_path / name), trust_pickle=True)
        if isinstance(found, Trajectory):
            assert [t.prev_action.dtype for t in found.timesteps[:1]] == [np.uint8]
            assert found.total_return.tolist() == wanted.total_return.tolist()
            found = found.freeze()
        assert_same(found, wanted.freeze())


def test_names_say_whose_which_and_how_long(tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 12.5)
    recorder, _ = run(tmp_path, Worlds([[3]]), steps=6, seed=5)
    recorder.save_finished()
    first, second = sorted(os.listdir(tmp_path))
    assert first.startswith("World0_000000000001-")
    assert first.endswith("-L4_12.500000.npz")
    assert first[:20] != second[:20]
    again = Recorder(1, str(tmp_path / "other"), None, seed=5)
    assert again.save_to != recorder.save_to


def test_the_same_seed_gives_the_same_names(tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 12.5)
    for directory in ("a", "b"):
        recorder, _ = run(tmp_path / directory, Worlds([[3], [2]]), steps=9, seed=5)
        recorder.save_finished()
    assert sorted(os.listdir(tmp_path / "a")) == sorted(os.listdir(tmp_path / "b"))


def test_sequence_numbers_go_on_where_another_writer_stopped(tmp_path):
    for seed in (1, 2):
        recorder, _ = run(tmp_path, Worlds([[3]]), steps=6, seed=seed)
        recorder.save_finished()
    assert sorted(sequence_of(name) for name in os.listdir(tmp_path)) == [1, 2, 3, 4]


def test_writers_that_take_turns_agree_about_what_is_newer(tmp_path):
    fast, fast_worlds = Recorder(1, str(tmp_path), None, seed=1), Worlds([[2]])
    slow, slow_worlds = Recorder(1, str(tmp_path), None, seed=2), Worlds([[2]])
    fast.begin(fast_worlds.reset())
    slow.begin(slow_worlds.reset())
    newest = 0
    for recorder, worlds, steps in ((fast, fast_worlds, 20), (slow, slow_worlds, 2)) * 3:
        before = set(os.listdir(tmp_path))
        for _ in range(steps):
            recorder.observe(worlds.step())
        recorder.save_finished()
        sequences = [sequence_of(name) for name in set(os.listdir(tmp_path)) - before]
        assert min(sequences) > newest
        newest = max(sequences)


def test_saving_on_done_writes_at_once(tmp_path):
    recorder, worlds = Recorder(1, str(tmp_path), None), Worlds([[2]])
    recorder.save_on_done = True
    recorder.begin(worlds.reset())
    counts = []
    for _ in range(6):
        recorder.observe(worlds.step())
        counts.append(len(os.listdir(tmp_path)))
    assert counts == [0, 1, 1, 2, 2, 3]


def test_a_full_disk_keeps_the_queue_and_shows_no_partial_file(tmp_path, monkeypatch):
    recorder, _ = run(tmp_path, Worlds([[3]]), steps=9)

    def full(*args):
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "writev", full)
        with pytest.raises(OSError, match="no space"):
            recorder.save_finished()
    assert len(recorder.finished) == 3
    assert os.listdir(tmp_path) == []
    assert recorder.save_finished() == 3


def test_an_environments_name_cannot_leave_the_directory(tmp_path):
    directory = tmp_path / "fifo"
    recorder, _ = run(directory, Worlds([[2]]), steps=2, name_of=lambda name: f"../../{name}\x00")
    recorder.save_finished()
    assert os.listdir(tmp_path) == ["fifo"]
    assert len(os.listdir(directory)) == 1


@pytest.mark.parametrize("limits", [(0, 3), (5, 4)])
def test_limits_that_are_no_range_are_refused(tmp_path, limits):
    with pytest.raises(ConfigError, match="1 <= low <= high"):
        Recorder(1, str(tmp_path), limits)


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="hdf5"):
        Recorder(1, str(tmp_path), None, save_as="hdf5")


def test_no_format_is_an_old_spelling_of_npz(tmp_path):
    with pytest.warns(DeprecationWarning, match="npz"):
        assert Recorder(1, str(tmp_path), None, save_as=None).save_as == "npz"


def test_memory_does_not_grow_while_episodes_keep_ending(tmp_path):
    recorder, worlds = Recorder(3, str(tmp_path), None), Worlds([[7], [11], [50]])
    recorder.begin(worlds.reset())
    for _ in range(2000):
        recorder.observe(worlds.step())
    assert recorder._columns.capacity <= 256


def test_rows_without_an_episode_stay_so_when_the_past_is_forgotten(tmp_path):
    worlds = Worlds([[7], [9]], pauses=True)
    recorder, plain = Recorder(2, str(tmp_path)), PlainRecorder()
    first = worlds.reset()
    recorder.begin(first)
    plain.begin(first)
    for _ in range(400):
        step = worlds.step()
        recorder.observe(step)
        plain.observe(step)
        assert [row for row in (0, 1) if recorder.active(row)] == sorted(plain.active)
