"""The list of declared metrics (see `tracking/metrics.py`), by section.

A name may have fields: `{name}` an env name, `{metric}` what an env reports, `{gamma}` a discount.
Where several declarations cover a name, the first is meant. m is the mask of valid timesteps;
mean_m(x) = sum(x m) / (sum(m) + 1e-5).
"""

from dataclasses import replace

from amago.tracking.sections import Metric

_EPISODES = "amago/rollout/episodes.py"
_DISK = "amago/loading/disk.py"
_MIXTURE = "amago/loading/mixture.py"
_UPDATE = "amago/agent/update.py"
_DIAGNOSTICS = "amago/agent/diagnostics.py"
_LEARNER = "amago/training/learner.py"
_EXPERIMENT = "amago/experiment.py"
_SYSTEM = "amago/tracking/system.py"

_ALL_NAMES = "Average Total Return (Across All Env Names)"


def _evaluation(section: str) -> tuple[Metric, ...]:
    """Metrics of evaluation episodes that finished; averaged over processes."""
    return (
        Metric(
            f"{section}/{_ALL_NAMES}",
            "return",
            "How good the policy is: its return, every environment name counting the same.",
            "mean over env names of their mean return",
            _EPISODES,
        ),
        Metric(
            f"{section}/Average Total Return in {{name}}",
            "return",
            "Return of the policy in this environment.",
            "mean over finished episodes of the sum of rewards",
            _EPISODES,
        ),
        Metric(
            f"{section}/Bottom Quintile Total Return in {{name}}",
            "return",
            "Return of the episodes that went badly: one in five is below it.",
            "20th percentile over finished episodes",
            _EPISODES,
        ),
        Metric(
            f"{section}/Average {{metric}} in {{name}}",
            "as reported",
            "What the environment itself reports, e.g. success, or return by attempt.",
            "mean over the values given under AMAGO_ENV_LOG_PREFIX",
            _EPISODES,
        ),
    )


TEST = _evaluation("test")

_DISK_DATASET = (
    Metric(
        "dataset/Trajectory Files Saved in FIFO Replay Buffer",
        "files",
        "Trajectories collected by the agent that can be sampled now.",
        source=_DISK,
    ),
    Metric(
        "dataset/Trajectory Files Saved in Protected Replay Buffer",
        "files",
        "Trajectories you supplied, e.g. demonstrations; they are never deleted.",
        source=_DISK,
    ),
    Metric(
        "dataset/Total Trajectory Files in Replay Buffer",
        "files",
        "Everything that can be sampled now.",
        "FIFO + protected",
        _DISK,
    ),
    Metric(
        "dataset/Trajectory Files Deleted",
        "files",
        "Oldest trajectories that are sampled no more since this epoch's collection, to stay "
        "within the limit. The next checkpoint deletes them.",
        source=_DISK,
    ),
    Metric(
        "dataset/Trajectory Files Quarantined",
        "files",
        "Damaged files met since the previous row; collected ones were moved to quarantine/. "
        "Absent if none.",
        source=_DISK,
    ),
    Metric(
        "dataset/Trajectory Files Gone While Reading",
        "files",
        "Reads since the previous row whose file another process had deleted; another file was "
        "drawn. Absent if none.",
        source=_DISK,
    ),
    Metric(
        "dataset/Collector Policy Staleness (versions)",
        "versions",
        "How far behind the collectors act: publications the slowest live one has not read yet.",
        "newest published version - smallest version a live collector acts with",
        "amago/experiment/heartbeats.py",
    ),
    Metric(
        "dataset/Environment Faults",
        "faults",
        "Environments replaced since this process began: they raised, died or hung; shown once "
        "there is one.",
        source="amago/envs/pool/supervision.py",
    ),
    Metric(
        "dataset/Buffer Disk Space (GB)",
        "GB",
        "Disk space of the replay buffer.",
        "bytes * 1e-9",
        _DISK,
    ),
)


def _in_a_mixture(metric: Metric) -> Metric:
    name = metric.name.replace("dataset/", "dataset/{dataset} ")
    return replace(metric, name=name, says=f"Of one member of a mixture: {metric.says}")


DATASET = (
    *_DISK_DATASET,
    *(_in_a_mixture(metric) for metric in _DISK_DATASET),
    Metric(
        "dataset/{dataset} Current Sample Weight",
        "1",
        "Weight of this member of a mixture, as it is set or scheduled now.",
        source=_MIXTURE,
    ),
    Metric(
        "dataset/{dataset} Normalized Sample Weight",
        "probability",
        "Chance that a sequence is drawn from this member of a mixture.",
        "weight / sum of weights of the members that are ready",
        _MIXTURE,
    ),
    Metric(
        "dataset/{dataset} Empirical Sample Weight (Previous Epoch)",
        "fraction",
        "Share of this member among the sequences drawn; counted without loader workers only.",
        source=_MIXTURE,
    ),
)

CHARTS = (
    Metric(
        "total_frames",
        "timesteps",
        "Calls of env.step that collected data, in all environments and processes.",
        source=_EXPERIMENT,
    ),
    Metric(
        "total_frames-{name}",
        "timesteps",
        "Calls of env.step that collected data in environments of this name.",
        source=_EXPERIMENT,
    ),
    Metric("Epoch", "epochs", "The epoch in which the row was made.", source=_EXPERIMENT),
    Metric("gradient_steps", "updates", "Optimiser steps so far.", source=_EXPERIMENT),
)

_LOSSES = (
    Metric(
        "train/Loss",
        "loss",
        "What the optimiser minimises. Its level says little: targets and filters keep changing.",
        "actor loss + critic_loss_weight * critic loss",
        _UPDATE,
    ),
    Metric(
        "train/Actor Loss",
        "loss",
        "Lower: actions with higher value, or closer to the good actions in the data.",
        "mean_m(-online_coeff * Q(s, pi(s)) - offline_coeff * filter(A) * log pi(a|s))",
        _UPDATE,
    ),
    Metric(
        "train/Critic Loss",
        "loss",
        "Distance of the critics from their TD targets; 0 when critics are not trained.",
        "mean_m((Q - target)^2), or a cross-entropy over bins",
        _UPDATE,
    ),
    Metric("train/Learning Rate", "1", "The last value of the schedule.", source=_LEARNER),
    Metric(
        "train/Skipped Updates",
        "updates",
        "Updates whose gradient was not finite, so far; shown once there is one.",
        source=_LEARNER,
    ),
    *(
        Metric(
            f"train/{part} Grad Norm",
            "1",
            f"Size of the gradient of the {part}. Spikes or zeros point at what does not learn.",
            "L2 norm over its parameters, after clipping",
            _DIAGNOSTICS,
        )
        for part in ("Actor", "Critic", "TrajEncoder", "TstepEncoder")
    ),
)

_BATCH = (
    Metric(
        "train/Sequence Length",
        "timesteps",
        "Stored timesteps of the longest sequence of the batch.",
        "L",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Batch Size (in Timesteps)",
        "timesteps",
        "Transitions of the batch, padding included.",
        "B * (L - 1)",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Unmasked Batch Size (in Timesteps)",
        "timesteps",
        "Transitions the actor learns from.",
        "sum of the actor mask, after edit_actor_mask, first discount",
        _DIAGNOSTICS,
    ),
    *(
        Metric(
            f"train/{kind} Reward (in training sequences)",
            "reward",
            f"{kind} reward over the valid transitions of the batch, as the environment gave it.",
            source=_DIAGNOSTICS,
        )
        for kind in ("Mean", "Min", "Max")
    ),
    Metric(
        "train/Sequences Containing Done",
        "sequences",
        "Sequences of the batch in which an episode terminates (truncation does not count).",
        source=_DIAGNOSTICS,
    ),
)

_VALUES = (
    Metric(
        "train/Q(s, a) (global mean, rescaled) gamma={gamma}",
        "return * reward_multiplier",
        "What the critics expect for the actions in the data, at this discount.",
        "mean_m(Q) without PopArt's normalisation",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Q(s,a) (global mean, raw scale) gamma={gamma}",
        "1",
        "The same before it is scaled back: should stay within a few units of 0.",
        "Agent: mean_m of the network's output; MultiTaskAgent: of PopArt-normalised Q",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Q(s, a) Ensemble Stdev. (raw scale, ignoring padding) gamma={gamma}",
        "1",
        "How far the critics disagree.",
        "mean over timesteps of the standard deviation over critics",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Q(s, a) (global std, rescaled, ignoring padding)",
        "return * reward_multiplier",
        "Spread of Q over the batch, all critics and discounts.",
        source=_DIAGNOSTICS,
    ),
    Metric(
        "train/Min TD Target",
        "return * reward_multiplier",
        "Smallest target in the batch. Below what is possible: bootstrapping has gone wrong.",
        source=_DIAGNOSTICS,
    ),
    Metric(
        "train/Max TD Target",
        "return * reward_multiplier",
        "Largest target in the batch. Above what is possible: values are over-estimated.",
        source=_DIAGNOSTICS,
    ),
    Metric(
        "train/TD Target (test-time gamma)",
        "return * reward_multiplier",
        "Mean target at the discount of the policy that acts.",
        "mean_m(y), last discount",
        _DIAGNOSTICS,
    ),
    *(
        Metric(
            f"train/PopArt {name} (mean over gamma)",
            unit,
            f"Value normalisation: {says}.",
            source=_DIAGNOSTICS,
        )
        for name, unit, says in (
            ("mu", "return * reward_multiplier", "running mean of the targets"),
            ("nu", "(return * reward_multiplier)^2", "running second moment of the targets"),
            ("w", "1", "scale applied to the critics' output"),
            ("b", "1", "shift applied to the critics' output"),
            ("sigma", "return * reward_multiplier", "running deviation, sqrt(nu - mu^2)"),
        )
    ),
    *(
        Metric(
            f"train/Maximum Bin ({which})",
            "bin",
            "Which bins of the value distribution are used. Piled up at an end: the bins' limits "
            "are too narrow; all in one: too wide.",
            "histogram of arg-max bins (MultiTaskAgent)",
            _DIAGNOSTICS,
        )
        for which in ("All Gammas", "Target Gamma")
    ),
)

_POLICY = (
    Metric(
        "train/Policy Per-timestep Entropy (test-time gamma)",
        "nats",
        "Discrete: how undecided the policy is. Near 0 early in training: it has collapsed.",
        "mean_m of the entropy",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Policy Per-timstep Low Prob. (test-time gamma)",
        "probability",
        "Discrete: probability of the least likely action. (The spelling is part of the name.)",
        "mean_m of the minimum",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Policy Per-timestep High Prob. (test-time gamma)",
        "probability",
        "Discrete: probability of the most likely action.",
        "mean_m of the maximum",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Policy Overall Highest Prob.",
        "probability",
        "Discrete: the most certain choice in the batch.",
        source=_DIAGNOSTICS,
    ),
    Metric(
        "train/Policy Entropy (test-time gamma)",
        "nats",
        "Continuous: how spread out the policy is; may be negative.",
        "mean_m of -log pi(sampled action), an estimate from one sample",
        _DIAGNOSTICS,
    ),
    *(
        Metric(
            f"train/{kind} Action Logprob",
            "nats",
            f"{kind} log-probability the policy gives to the actions in the data.",
            "over valid timesteps and discounts",
            _DIAGNOSTICS,
        )
        for kind in ("Minimum", "Maximum", "Mean")
    ),
    *(
        Metric(
            f"train/Filter {kind}",
            "weight",
            "Weights that filtered behaviour cloning gives to the actions in the data.",
            "mean_m" if kind == "Mean" else "",
            _DIAGNOSTICS,
        )
        for kind in ("Max", "Min", "Mean", "95th Percentile", "75th Percentile")
    ),
    Metric(
        "train/Pct. of Actions Approved by Binary FBC Filter (All Gammas)",
        "%",
        "Share of the actions in the data that the critics think better than the policy's.",
        "100 * mean_m(weight > 0)",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/Pct. of Actions Approved by Binary FBC (gamma = {gamma})",
        "%",
        "The same at one discount.",
        "100 * mean_m(weight > 0)",
        _DIAGNOSTICS,
    ),
    Metric(
        "train/activation-{layer}-{statistic}",
        "1",
        "Numbers inside the networks: max, min, mean and std of a layer's output.",
        source="amago/nets",
    ),
)

VAL = (
    *_evaluation("val"),
    Metric(
        "val/Env FPS (per_process)",
        "timesteps/s",
        "Speed of evaluation.",
        "val_timesteps_per_epoch * parallel_actors / seconds",
        _EXPERIMENT,
    ),
)

SYSTEM = (
    Metric("System/CPU (%)", "%", "Load of all processors together.", source=_SYSTEM),
    Metric("System/RAM (%)", "%", "Memory in use by everybody.", source=_SYSTEM),
    Metric("System/RAM Available (GB)", "GB", "Memory still to be had.", source=_SYSTEM),
    Metric("System/Process CPU (%)", "%", "Of one processor; 200 = two busy.", source=_SYSTEM),
    Metric(
        "System/Process RSS (GB)",
        "GB",
        "Memory of this process, without its workers. Rising for ever: a leak.",
        source=_SYSTEM,
    ),
    Metric("System/Process Threads", "threads", "Threads of this process.", source=_SYSTEM),
    Metric("System/Disk Free (GB)", "GB", "Free space where the run is written.", source=_SYSTEM),
    Metric("System/Disk Read (MB/s)", "MB/s", "Read by the whole machine.", source=_SYSTEM),
    Metric("System/Disk Written (MB/s)", "MB/s", "Written by the whole machine.", source=_SYSTEM),
    Metric("System/Network Received (MB/s)", "MB/s", "By the whole machine.", source=_SYSTEM),
    Metric("System/Network Sent (MB/s)", "MB/s", "By the whole machine.", source=_SYSTEM),
    Metric(
        "System/GPU {index} Utilization (%)",
        "%",
        "Time in which the GPU did anything. Low: it waits for data or for environments.",
        source=_SYSTEM,
    ),
    Metric("System/GPU {index} Memory (GB)", "GB", "GPU memory in use.", source=_SYSTEM),
    Metric("System/GPU {index} Memory (%)", "%", "GPU memory in use.", source=_SYSTEM),
    Metric("System/GPU {index} Power (W)", "W", "Power drawn by the GPU.", source=_SYSTEM),
)

ALL = (*TEST, *DATASET, *CHARTS, *_LOSSES, *_BATCH, *_VALUES, *_POLICY, *VAL, *SYSTEM)
