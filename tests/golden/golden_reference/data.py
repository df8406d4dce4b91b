"""Stored trajectories, slices, batches, and the environment wrappers that record them."""

import os
import random
import tempfile

import gymnasium as gym
import numpy as np
import torch

from golden_reference.common import N, T, make_space, runner, sub


def _rldata(inp, with_rl2s=False):
    from amago.loading import RLData

    kw = dict(
        obs={k: T(v) for k, v in sub(inp, "obs/").items()},
        rews=T(inp["rews"]),
        dones=T(inp["dones"]),
        actions=T(inp["actions"]),
        time_idxs=T(inp["time_idxs"]),
    )
    if "rl2s" in inp:
        kw["rl2s"] = T(inp["rl2s"])
    return RLData(**kw)


@runner("rldata")
def run_rldata(a, inp):
    d = _rldata(sub(inp, "in/"))
    return {"out/rl2s": N(d.rl2s), "out/len": np.array(len(d))}


@runner("slice_starts")
def run_slice_starts(a, inp):
    from amago.loading import RLData

    out = {}
    for i, (n_act, length, mode) in enumerate(a["cases"]):
        random.seed(i)
        seen = set()
        for _ in range(a.get("draws", 2500)):
            d = RLData(
                obs={"o": torch.arange(n_act + 1).float().unsqueeze(-1)},
                rews=torch.zeros(n_act, 1),
                dones=torch.zeros(n_act, 1, dtype=torch.bool),
                actions=torch.zeros(n_act, 2),
                time_idxs=torch.arange(n_act + 1).unsqueeze(-1),
            ).random_slice(length=length, padded_sampling=mode)
            assert d.obs["o"].shape[0] == d.time_idxs.shape[0] == d.rl2s.shape[0]
            assert d.rews.shape[0] == d.actions.shape[0] == d.dones.shape[0] == len(d)
            seen.add((int(d.time_idxs[0]), int(d.time_idxs.shape[0]), len(d)))
        out[f"out/slices_{i}"] = np.array(sorted(seen), dtype=np.int64)
    return out


@runner("slice_fixed")
def run_slice_fixed(a, inp):
    d = _rldata(sub(inp, "in/"))
    d = d.random_slice(length=a["length"], padded_sampling=a["mode"])
    out = {f"out/obs/{k}": N(v) for k, v in d.obs.items()}
    for k in ("rl2s", "rews", "dones", "actions", "time_idxs"):
        out[f"out/{k}"] = N(getattr(d, k))
    return out


@runner("collate")
def run_collate(a, inp):
    from amago.loading import MAGIC_PAD_VAL, RLData_pad_collate

    b = RLData_pad_collate([_rldata(sub(inp, f"in/{i}/")) for i in range(a["n"])])
    out = {f"out/obs/{k}": N(v) for k, v in b.obs.items()}
    for k in ("rl2s", "rews", "dones", "actions", "time_idxs"):
        out[f"out/{k}"] = N(getattr(b, k))
    out["out/pad_value"] = np.array(float(MAGIC_PAD_VAL))
    return out


def _disk_outputs(path):
    from amago.loading import load_traj_from_disk

    out = {}
    with np.load(path, allow_pickle=False) as z:
        keys = sorted(z.files)
        out["out/disk_keys"] = np.array(keys)
        out["out/disk_dtypes"] = np.array([str(z[k].dtype) for k in keys])
        for k in keys:
            out[f"out/disk/{k}"] = z[k]
    t = load_traj_from_disk(path)
    for k, v in t.obs.items():
        out[f"out/loaded_obs/{k}"] = np.array(v)
    return out


@runner("freeze")
def run_freeze(a, inp):
    from amago.hindsight import Timestep, Trajectory

    steps = [
        Timestep(
            obs={k: v[t] for k, v in sub(inp, "in/obs/").items()},
            prev_action=inp["in/prev_action"][t],
            reward=inp["in/reward"][t],
            time_idx=inp["in/time_idx"][t],
            terminal=inp["in/terminal"][t],
            batched_envs=1,
        )
        for t in range(a["T"])
    ]
    traj = Trajectory(timesteps=[steps[0]])
    for s in steps[1:]:
        traj.add_timestep(s)
    out = {
        "out/total_return": np.array(traj.total_return).reshape(-1),
        "out/len": np.array(len(traj)),
    }
    with tempfile.TemporaryDirectory() as d:
        traj.save_to_disk(os.path.join(d, "x"), save_as=a["save_as"])
        files = os.listdir(d)
        assert files == ["x.npz"], files
        out.update(_disk_outputs(os.path.join(d, "x.npz")))
    _, out["out/as_input_rl2"], out["out/as_input_time"] = steps[1].as_input()
    return out


@runner("timestep_batch")
def run_timestep_batch(a, inp):
    from amago.hindsight import Timestep, split_batched_timestep

    t = Timestep(
        obs={k: v for k, v in sub(inp, "in/obs/").items()},
        prev_action=inp["in/prev_action"],
        reward=inp["in/reward"],
        time_idx=inp["in/time_idx"],
        terminal=inp["in/terminal"],
        batched_envs=a["B"],
    )
    out = {}
    r = t.create_reset_version(inp["in/reset"])
    for k in ("prev_action", "reward", "time_idx", "terminal"):
        out[f"out/reset_{k}"] = np.array(getattr(r, k))
        out[f"out/split_{k}"] = np.stack([getattr(s, k) for s in split_batched_timestep(t)])
        out[f"out/original_{k}"] = np.array(getattr(t, k))
    for k in t.obs:
        out[f"out/split_obs_{k}"] = np.stack([s.obs[k] for s in split_batched_timestep(t)])
    return out


class ToyEnv(gym.Env):
    """Deterministic toy: obs depends on the step count and last action only."""

    def __init__(self, action, dict_obs, horizon, mode):
        self.mode, self.horizon, self.dict_obs = mode, horizon, dict_obs
        self.action_space = make_space(action)
        base = gym.spaces.Box(-100.0, 100.0, shape=(3,), dtype=np.float32)
        self.observation_space = (
            gym.spaces.Dict({"vec": base, "img": gym.spaces.Box(0, 255, (2, 2, 1), dtype=np.uint8)})
            if dict_obs
            else base
        )

    def _obs(self):
        v = np.array([self.t, self.last, self.t * self.last], dtype=np.float32)
        if self.dict_obs:
            return {"vec": v, "img": np.full((2, 2, 1), (3 * self.t) % 256, dtype=np.uint8)}
        return v

    def reset(self, seed=None, options=None):
        self.t, self.last = 0, 0.0
        return self._obs(), {}

    def step(self, a):
        self.t += 1
        self.last = float(np.sum(a))
        te = self.mode == "terminate" and self.t >= self.horizon
        tr = self.mode == "truncate" and self.t >= self.horizon
        info = {"AMAGO_LOG_METRIC Final Step": self.t} if (te or tr) else {}
        return self._obs(), 0.5 * self.t - self.last, te, tr, info


@runner("env_rollout")
def run_env_rollout(a, inp):
    from amago.envs import AMAGOEnv, SequenceWrapper

    with tempfile.TemporaryDirectory() as d:
        env = SequenceWrapper(
            AMAGOEnv(
                ToyEnv(a["action_space"], a["dict_obs"], a["horizon"], a["mode"]),
                env_name=a["env_name"],
            ),
            save_trajs_to=d,
            save_every=None,
            save_trajs_as=a["save_as"],
        )
        out = {"out/rl2_dim": np.array(env.rl2_space["rl2"].shape[0])}
        env.reset()
        rews, dones, rl2s, times = [], [], [], []
        for act in inp["in/actions"]:
            _, r, te, tr, _i = env.step(act)
            rews.append(r), dones.append([te, tr])
            _o, rl2, tt = env.current_timestep
            rl2s.append(rl2), times.append(tt)
        env.save_finished_trajs()
        files = sorted(os.listdir(d))
        assert [os.path.splitext(file)[1] for file in files] == [".npz"]
        name = files[0][: -len(".npz")].split("_")
        out["out/filename_prefix"] = np.array([name[0]])
        out["out/filename_n_fields"] = np.array(len(name))
        out["out/rewards"], out["out/dones"] = np.array(rews), np.array(dones)
        out["out/current_rl2s"], out["out/current_time_idxs"] = np.array(rl2s), np.array(times)
        out["out/return_history"] = np.array(
            env.return_history.data[env.env_name], dtype=np.float64
        )
        out["out/special"] = np.array(env.special_history.data[env.env_name]["Final Step"])
        out["out/total_frames"] = np.array(env.total_frames)
        out["out/env_name"] = np.array([env.env_name])
        out.update(_disk_outputs(os.path.join(d, files[0])))
    return out


@runner("mixture_weights")
def run_mixture_weights(a, inp):
    from amago.loading import MixtureOfDatasets, RLDataset

    class D(RLDataset):
        def __init__(self, name, ready_at):
            super().__init__(dset_name=name)
            self.ready_at, self.now = ready_at, 0

        save_new_trajs_to = None

        @property
        def ready_for_training(self):
            return self.now >= self.ready_at

        def get_description(self):
            return "toy"

        def sample_random_trajectory(self):
            raise NotImplementedError

    class E:
        class accelerator:
            num_processes = 1

        train_batches_per_epoch, batch_size, max_seq_len = 1, 1, 4
        padded_sampling, has_dset_edit_rights, epoch = "none", True, 0

    ds = [D(f"d{i}", r) for i, r in enumerate(a["ready_at"])]
    m = MixtureOfDatasets(
        datasets=ds,
        sampling_weights=a["weights"],
        initial_sampling_weights=a["initial"],
        smooth_sudden_starts=a["smooth"],
    )
    e = E()
    m.configure_from_experiment(e)
    rows, norm = [], []
    for epoch in range(a["epochs"]):
        e.epoch = epoch
        for d in ds:
            d.now = epoch
        log = m.on_end_of_collection(e)
        rows.append([log[f"d{i} Current Sample Weight"] for i in range(len(ds))])
        norm.append([log[f"d{i} Normalized Sample Weight"] for i in range(len(ds))])
    return {
        "out/current": np.array(rows, dtype=np.float64),
        "out/normalized": np.array(norm, dtype=np.float64),
    }
