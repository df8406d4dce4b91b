"""Evaluation metrics and exploration schedules."""

import numpy as np

import amago
from golden_reference.common import resolve, runner
from golden_reference.data import ToyEnv


@runner("metrics")
def run_metrics(a, inp):
    from amago.envs import ReturnHistory, SpecialMetricHistory
    from amago.loading import DoNothingDataset

    rets, specs = [], []
    for actor in a["actors"]:
        r, s = ReturnHistory("unused"), SpecialMetricHistory("unused")
        for env, score in actor["returns"]:
            r.add_score(env, score)
        for env, key, val in actor["specials"]:
            if isinstance(val, dict) and "$array" in val:
                val = np.array(val["$array"], dtype=np.float32)
            elif isinstance(val, list):
                val = list(val)
            s.add_score(env, key, val)
        rets.append(r), specs.append(s)
    from amago.nets.traj_encoders import FFTrajEncoder
    from amago.nets.tstep_encoders import FFTstepEncoder

    exp = amago.Experiment(
        run_name="x",
        ckpt_base_dir="/nonexistent",
        max_seq_len=4,
        dataset=DoNothingDataset(),
        tstep_encoder_type=FFTstepEncoder,
        traj_encoder_type=FFTrajEncoder,
        agent_type=amago.Agent,
        val_timesteps_per_epoch=1,
        make_train_env=None,
        make_val_env=None,
        verbose=False,
    )
    m = exp.policy_metrics(rets, specs)
    names = sorted(m)
    return {"out/names": np.array(names), "out/values": np.array([float(m[k]) for k in names])}


@runner("exploration_eps")
def run_exploration_eps(a, inp):
    from amago.envs import AMAGOEnv

    cls = resolve({"$ref": a["cls"]})
    w = cls(
        AMAGOEnv(ToyEnv(a["action_space"], False, 10, "never"), env_name="toy"),
        **resolve(a["kwargs"]),
    )
    gs, ls, mu = inp["in/global_steps"], inp["in/local_steps"], inp["in/multipliers"]
    eps = np.zeros((len(gs), len(ls), len(mu)))
    for i, g in enumerate(gs):
        w.global_step = int(g)
        for j, local in enumerate(ls):
            for k, m in enumerate(mu):
                w.global_multiplier = np.array([m])
                eps[i, j, k] = float(
                    np.asarray(w.current_eps(np.array([int(local)]))).reshape(-1)[0]
                )
    return {"out/eps": eps}


@runner("exploration_noop")
def run_exploration_noop(a, inp):
    """eps is 0 everywhere: the action must come through unchanged; one global step per call."""
    from amago.envs import AMAGOEnv

    cls = resolve({"$ref": a["cls"]})
    w = cls(
        AMAGOEnv(ToyEnv(a["action_space"], False, 10**6, "never"), env_name="toy"),
        **resolve(a["kwargs"]),
    )
    w.reset()
    outs = [w.action(act) for act in inp["in/actions"]]
    return {
        "out/actions": np.stack(outs),
        "out/dtype": np.array([str(outs[0].dtype)]),
        "out/global_step": np.array(w.global_step),
    }
