"""The list of declared metrics (see `tracking/metrics.py`), by section.

A name may have fields: `{name}` an env name, `{metric}` what an env reports, `{gamma}` a discount.
Where several declarations cover a name, the first is meant. Those of `train/` are in
`training_declarations.py`.
"""

from dataclasses import replace

from amago.tracking.sections import Metric
from amago.tracking.training_declarations import TRAIN

_EPISODES = "amago/rollout/episodes.py"
_DISK = "amago/loading/disk.py"
_MIXTURE = "amago/loading/mixture.py"
_EXPERIMENT = "amago/experiment/experiment.py"
_SYSTEM = "amago/tracking/system.py"

_RATE = "bytes * 1e-6 / seconds, since the last"
_ALL_NAMES = "Average Total Return (Across All Env Names)"


def _evaluation(section: str) -> tuple[Metric, ...]:
    """Metrics of evaluation episodes that finished, of all processes together."""
    return (
        Metric(
            f"{section}/{_ALL_NAMES}",
            "return",
            "How good the policy is: its return, every environment name counting the same. Good: "
            "rises. Absent: no episode finished.",
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
            "Return of the episodes that went badly: one in five is below it. Far below the "
            "average: the policy is not reliable.",
            "20th percentile over finished episodes of the sum of rewards",
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


def _episodes(section: str) -> tuple[Metric, ...]:
    """What stands beside an evaluation, in the same row: `section` itself is for its metrics."""
    return (
        Metric(
            f"{section}_episodes/Average Total Return (Across All Episodes)",
            "return",
            "The return of an episode, every episode counting the same: an environment with short "
            "episodes, of which more finish, weighs more. Absent: no episode finished.",
            "mean over finished episodes of the sum of rewards",
            _EPISODES,
        ),
        Metric(
            f"{section}_episodes/Episodes Finished",
            "episodes",
            "Episodes that these means are of. Few: the curves are noisy. 0: episodes are longer "
            "than the evaluation.",
            "number of finished episodes, of all processes and environments",
            _EPISODES,
        ),
    )


TEST = _evaluation("test")

_DISK_DATASET = (
    Metric(
        "dataset/Trajectory Files Saved in FIFO Replay Buffer",
        "files",
        "Trajectories collected by the agent that can be sampled now.",
        "files in buffer/fifo",
        _DISK,
    ),
    Metric(
        "dataset/Trajectory Files Saved in Protected Replay Buffer",
        "files",
        "Trajectories you supplied, e.g. demonstrations; they are never deleted.",
        "files in buffer/protected",
        _DISK,
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
        "max(0, files in buffer/fifo - dset_max_size)",
        _DISK,
    ),
    Metric(
        "dataset/Trajectory Files Quarantined",
        "files",
        "Damaged files met since the previous row; collected ones were moved to quarantine/. "
        "Absent if none.",
        "number of files",
        "amago/loading/damage.py",
    ),
    Metric(
        "dataset/Trajectory Files Gone While Reading",
        "files",
        "Reads since the previous row whose file another process had deleted; another file was "
        "drawn. Absent if none.",
        "number of reads",
        "amago/loading/damage.py",
    ),
    Metric(
        "dataset/Buffer Disk Space (GB)",
        "GB",
        "Disk space of the replay buffer.",
        "bytes of its files * 1e-9",
        _DISK,
    ),
)


def _in_a_mixture(metric: Metric) -> Metric:
    name = metric.name.replace("dataset/", "dataset/{dataset} ")
    says = f"Of one member of a mixture: {metric.says[0].lower()}{metric.says[1:]}"
    return replace(metric, name=name, says=says)


DATASET = (
    *_DISK_DATASET,
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
        "there is one. Bad: it keeps growing.",
        "sum over processes",
        "amago/envs/pool/supervision.py",
    ),
    *(_in_a_mixture(metric) for metric in _DISK_DATASET),
    Metric(
        "dataset/{dataset} Current Sample Weight",
        "1",
        "Weight of this member of a mixture, as it is set or scheduled now.",
        "from its initial to its final weight, in a straight line over smooth_sudden_starts epochs",
        _MIXTURE,
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
        "sequences drawn from it / sequences drawn, since the previous row",
        _MIXTURE,
    ),
)

CHARTS = (
    Metric(
        "total_frames",
        "timesteps",
        "Calls of env.step that collected data, in all environments and processes. The usual "
        "x-axis of a learning curve.",
        "sum over environments, processes and collectors",
        _EXPERIMENT,
    ),
    Metric(
        "total_frames-{name}",
        "timesteps",
        "Calls of env.step that collected data in environments of this name.",
        "they add up to total_frames",
        _EXPERIMENT,
    ),
    Metric(
        "Epoch",
        "epochs",
        "The epoch in which the row was made.",
        "passes through evaluate, collect and learn before this one",
        _EXPERIMENT,
    ),
    Metric(
        "gradient_steps",
        "updates",
        "Optimiser steps so far.",
        "accumulation windows that were completed",
        _EXPERIMENT,
    ),
)

VAL = (
    *_evaluation("val"),
    Metric(
        "val/Env FPS (per_process)",
        "timesteps/s",
        "Speed of evaluation: steps of all environments of one process in a second.",
        "val_timesteps_per_epoch * parallel_actors / seconds; mean over processes",
        _EXPERIMENT,
    ),
)

SYSTEM = tuple(
    Metric(f"System/{name}", unit, says, formula, _SYSTEM)
    for name, unit, says, formula in (
        ("CPU (%)", "%", "Load of all processors together.", "busy time / time, since the last"),
        ("RAM (%)", "%", "Memory in use by everybody.", "(total - available) / total"),
        ("RAM Available (GB)", "GB", "Memory still to be had.", "bytes * 1e-9"),
        (
            "Process CPU (%)",
            "%",
            "Of one processor; 200 = two busy.",
            "processor time of this process / time, since the last",
        ),
        (
            "Process RSS (GB)",
            "GB",
            "Memory of this process, without its workers. Rising for ever: a leak.",
            "bytes * 1e-9",
        ),
        ("Process Threads", "threads", "Threads of this process.", "count"),
        ("Disk Free (GB)", "GB", "Free space where the run is written.", "bytes * 1e-9"),
        ("Disk Read (MB/s)", "MB/s", "Read by the whole machine.", _RATE),
        ("Disk Written (MB/s)", "MB/s", "Written by the whole machine.", _RATE),
        ("Network Received (MB/s)", "MB/s", "By the whole machine.", _RATE),
        ("Network Sent (MB/s)", "MB/s", "By the whole machine.", _RATE),
        (
            "GPU {index} Utilization (%)",
            "%",
            "Time in which the GPU did anything. Low: it waits for data or for environments.",
            "as the driver reports it",
        ),
        ("GPU {index} Memory (GB)", "GB", "GPU memory in use.", "bytes * 1e-9"),
        ("GPU {index} Memory (%)", "%", "GPU memory in use.", "used / total"),
        ("GPU {index} Power (W)", "W", "Power drawn by the GPU.", "as the driver reports it"),
    )
)

ALL = (
    *TEST,
    *DATASET,
    *CHARTS,
    *TRAIN,
    *VAL,
    *_episodes("test"),
    *_episodes("val"),
    *SYSTEM,
)
