"""Run folders as training leaves them, made up in seconds: for tests, benchmarks and screenshots.

    python tests/shared/synthetic_runs.py DIR

Each function writes one kind of run, the same every time.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from synthetic_record import Record, Training, falls, rises, seed_of

from amago.core.values import Histogram, Image, Table, Video
from amago.tracking.config_files import write_text

AVERAGE = "val/Average Total Return (Across All Env Names)"

_ML45 = (
    "assembly basketball button-press button-press-topdown button-press-topdown-wall "
    "button-press-wall coffee-button coffee-pull coffee-push dial-turn disassemble door-close "
    "door-open drawer-close drawer-open faucet-close faucet-open hammer handle-press "
    "handle-press-side handle-pull handle-pull-side lever-pull peg-insert-side peg-unplug-side "
    "pick-out-of-hole pick-place pick-place-wall plate-slide plate-slide-back "
    "plate-slide-back-side plate-slide-side push push-back push-wall reach reach-wall shelf-place "
    "soccer stick-pull stick-push sweep sweep-into window-close window-open"
)
ML45 = tuple(f"{name}-v3" for name in _ML45.split())
"""The tasks that Meta-World's ML45 trains on."""

HOSTILE = (
    '<img src=x onerror=alert("img")>',
    "<script>alert('script')</script>",
    '"><svg onload=alert(1)>',
    "__proto__",
    "constructor",
    "a/b/../../etc/passwd",
    "\u202egnp.txt",
    "line\nbreak & 'quotes' \"double\"",
    "%00%2e%2e",
    "x" * 300,
)
"""Names that a page, a path or a query could take for something else than text."""


def small(folder: Path) -> None:
    """Three metrics, twenty rows."""
    record = Record(folder)
    record.session()
    loss = falls(seed_of(folder.name), 20, 2.0)
    for i in range(20):
        axes = {"total_frames": 100 * i, "Epoch": i, "gradient_steps": 10 * i}
        data = {AVERAGE: 1.0 * i, "train/Loss": float(loss[i]), "val/Env FPS (per_process)": 900.0}
        record.row(axes, data)
    record.finish()
    record.save()


def gym(folder: Path, seed: int = 1, group: str | None = None, epochs: int = 100) -> None:
    """CartPole: the simplest metrics, and a test at the end."""
    record = Record(folder)
    record.session(wandb_group_name=group, seed=seed)
    training = Training(record, epochs, ["CartPole-v1"])

    def evaluation(epoch: int) -> dict[str, Any]:
        mean = training.value("return", 20.0, 490.0)
        return {
            "val/Average Total Return in CartPole-v1": mean,
            "val/Bottom Quintile Total Return in CartPole-v1": 0.8 * mean,
            AVERAGE: mean,
            "val/Env FPS (per_process)": training.value("fps", 3000.0, 3100.0, 1.0),
        }

    training.run(evaluation)
    record.finish()
    evaluated = Record(folder, writer="evaluation")
    evaluated.time = record.time
    evaluated.session(wandb_group_name=group, seed=seed)
    test = {name.replace("val/", "test/"): v for name, v in evaluation(0).items()}
    evaluated.row(training.axes(), {k: v for k, v in test.items() if "FPS" not in k})
    evaluated.finish()
    evaluated.save()
    lines = [f"epoch {e:3d}  evaluated  return {4.9 * e:.1f}" for e in range(epochs)]
    record.save(log="\n".join(["amago 4.0.0", *lines, "finished"]) + "\n")
    write_text(folder / "ckpts" / "policy_weights" / "policy_epoch_0.pt", "weights")


def ml45(folder: Path, attempts: int = 3, evaluations: int = 30) -> None:
    """Forty-five tasks with three attempts each: 272 metrics of `val/`."""
    record = Record(folder, seconds=30.0)
    record.session(max_seq_len=256, parallel_actors=45)
    training = Training(record, 10 * evaluations, ML45, frames=45 * 1500)
    ceiling = {name: float(np.clip(seed_of(name).normal(0.8, 0.3), 0.0, 1.0)) for name in ML45}

    def evaluation(epoch: int) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name in ML45:
            best = ceiling[name]
            mean = training.value(name, 50.0, 300.0 + 4000.0 * best)
            trials = [
                float(np.clip(training.value(f"{name} {i}", 0, best * (0.7 + 0.15 * i)), 0, 1))
                for i in range(attempts)
            ]
            row[f"val/Average Total Return in {name}"] = mean
            row[f"val/Bottom Quintile Total Return in {name}"] = 0.7 * mean
            for i, success in enumerate(trials):
                row[f"val/Average Trial {i} Success in {name}"] = success
            row[f"val/Average Total Successes in {name}"] = sum(trials)
        returns = [v for k, v in row.items() if k.startswith("val/Average Total Return")]
        return row | {AVERAGE: float(np.mean(returns)), "val/Env FPS (per_process)": 120.0}

    training.run(evaluation, val_interval=10)
    record.finish()
    record.save()


def lake(folder: Path, attempts: int = 10) -> None:
    """Meta-Frozen-Lake: ten attempts at each lake, of which the later go better."""
    name = "FrozenLake-5x5-k10"
    record = Record(folder)
    record.session(max_seq_len=250)
    training = Training(record, 60, [name])

    def evaluation(epoch: int) -> dict[str, Any]:
        successes = {
            f"val/Average Episode {i} Success in {name}": float(
                np.clip(training.value(f"{i}", 0.05, 0.35 + 0.6 * (1 - 0.6**i)), 0, 1)
            )
            for i in range(attempts)
        }
        total = sum(successes.values())
        return successes | {f"val/Average Total Return in {name}": total, AVERAGE: total}

    training.run(evaluation)
    record.finish()
    record.save()


def wide(folder: Path, rows: int = 200, metrics: int = 612) -> None:
    """Many metrics in every row."""
    record = Record(folder)
    record.session()
    rng = seed_of(folder.name)
    sections = ("dataset", "train", "val", "System")
    names = [f"{sections[i % 4]}/metric {i:03d}" for i in range(metrics)]
    table = np.stack([rises(rng, rows, 0.0, 1.0 + i % 7, 0.1) for i in range(metrics)], axis=1)
    for i, values in enumerate(table.round(5).tolist()):
        axes = {"total_frames": 1000 * i, "Epoch": i, "gradient_steps": 100 * i}
        record.row(axes, dict(zip(names, values, strict=True)))
    record.finish()
    record.save()


def offline(folder: Path) -> None:
    """Learns from stored data: frames never advance."""
    record = Record(folder)
    record.session(train_timesteps_per_epoch=0)
    training = Training(record, 40, [], frames=0)
    training.run(lambda epoch: {AVERAGE: training.value("return", -50.0, 90.0)})
    record.finish()
    record.save()


def values(folder: Path) -> None:
    """Histograms, texts, pictures, videos, tables, and numbers that are not finite."""
    record = Record(folder)
    record.session()
    training = Training(record, 12, ["Maze"])
    rng = seed_of(folder.name)

    def evaluation(epoch: int) -> dict[str, Any]:
        return {
            AVERAGE: float("nan") if epoch == 4 else training.value("return", 0.0, 1.0),
            "val/Worst": float("-inf") if epoch == 6 else float(epoch),
            "val/Episode": Image(a_picture(epoch)),
            "val/Video": Video(np.stack([a_picture(i) for i in range(epoch + 2)]), fps=5),
            "val/Episodes": Table(["seed", "return"], [[i, 0.1 * i * epoch] for i in range(4)]),
        }

    def train(epoch: int) -> dict[str, Any]:
        sample = rng.normal(epoch, 1.0 + 0.1 * epoch, size=500)
        row = {"train/Maximum Bin (All Gammas)": Histogram.of(sample, bins=32)}
        return row | {"train/Note": f"epoch {epoch}: all is well", "train/Loss": float(epoch)}

    training.run(evaluation, train=train)
    record.finish()
    record.save()


def a_picture(epoch: int, size: int = 48) -> np.ndarray:
    """A disc that grows, uint8 `[size, size, 3]`."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    is_inside = rows**2 + columns**2 < (2 + 2 * epoch) ** 2
    return np.where(is_inside[..., None], (220, 120, 40), (20, 60, 110)).astype(np.uint8)


def only_a_test(folder: Path) -> None:
    """An experiment that only evaluated: one row."""
    record = Record(folder)
    record.session()
    names = ("left", "right", "middle")
    means = {f"test/Average Total Return in {name}": 10.0 * i for i, name in enumerate(names)}
    record.row({"total_frames": 0, "Epoch": 0, "gradient_steps": 0}, means)
    record.finish()
    record.save()


def resumed(folder: Path) -> None:
    """Stopped in epoch 30, gone on an hour later from the checkpoint of epoch 20."""
    record = Record(folder)
    training = Training(record, 60, ["CartPole-v1"])

    def evaluation(epoch: int) -> dict[str, Any]:
        return {AVERAGE: training.value("return", 20.0, 400.0)}

    record.session()
    training.run(evaluation, stop=20)
    checkpoint = record.step
    training.run(evaluation, start=20, stop=30)
    record.finish("stopped")
    record.time += 3600.0
    record.session(step=checkpoint, batch_size=48)
    training.run(evaluation, start=20)
    record.finish()
    record.save()


def collectors(folder: Path) -> None:
    """A learner, and two collectors that evaluate."""
    learner = Record(folder)
    learner.session()
    training = Training(learner, 40, ["CartPole-v1"])
    training.run(lambda epoch: {}, val_interval=100)
    learner.finish()
    learner.save()
    for name in ("a1b2", "c3d4"):
        record = Record(folder, writer=f"collector-{name}", seconds=12.0, host=f"node-{name}")
        record.session()
        rng = seed_of(name)
        returns = rises(rng, 40, 20.0, 480.0, 0.05)
        for epoch, value in enumerate(returns.tolist()):
            axes = {"total_frames": 12_000 * epoch, "Epoch": epoch, "gradient_steps": 1000 * epoch}
            record.row(axes, {AVERAGE: value})
        record.save()


def crashed(folder: Path) -> None:
    """Ended by an error, which the log shows."""
    record = Record(folder)
    record.session()
    training = Training(record, 30, ["CartPole-v1"])
    training.run(lambda epoch: {AVERAGE: training.value("return", 20.0, 60.0)}, stop=13)
    record.finish("crashed")
    record.save(log="amago 4.0.0\nTraceback (most recent call last):\nRuntimeError: CUDA error\n")


def gap(folder: Path) -> None:
    """The disk was full for a while."""
    record = Record(folder)
    record.session()
    training = Training(record, 40, ["CartPole-v1"])

    def evaluation(epoch: int) -> dict[str, Any]:
        return {AVERAGE: training.value("return", 20.0, 300.0)}

    training.run(evaluation, stop=15)
    record.gap(rows=60)
    training.run(evaluation, start=28)
    record.finish()
    record.save()


def hostile(folder: Path) -> None:
    """Every name and text is one of `HOSTILE`."""
    record = Record(folder, command=["python", *HOSTILE], host=HOSTILE[0], cwd=HOSTILE[1])
    settings: dict[str, Any] = {HOSTILE[3]: HOSTILE[1], HOSTILE[0]: "x"}
    record.session(wandb_group_name=HOSTILE[0], **settings)
    for i in range(10):
        axes = {"total_frames": i, "Epoch": i, "gradient_steps": i}
        axes |= {f"total_frames-{name}": i for name in HOSTILE}
        data: dict[str, Any] = {f"val/Average Total Return in {n}": 1.0 * i for n in HOSTILE}
        data |= {f"{name}/metric": 2.0 * i for name in HOSTILE if "/" not in name}
        data |= {"val/Note": HOSTILE[1], AVERAGE: 1.0 * i}
        record.row(axes, data)
    record.finish()
    record.save(log="".join(f"{name}\n\x1b[31mred\x1b[0m\n" for name in HOSTILE))


def broken(folder: Path) -> None:
    """A file that is not a record."""
    write_text(folder / "tracking" / "learner.jsonl", "this is not JSON\n{]\n\x00\x01\n")


def empty(folder: Path) -> None:
    """A record without a line."""
    write_text(folder / "tracking" / "learner.jsonl", "")


def kinds() -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Name of the folder, and the function that fills it."""
    one_each = (small, gym, ml45, lake, offline, values, resumed, collectors, crashed, gap)
    yield from ((kind.__name__, kind) for kind in (*one_each, broken, empty))
    yield from (("wide-1", wide), ("wide-2", wide), ("only-a-test", only_a_test))
    yield HOSTILE[0], hostile
    for seed in range(1, 6):
        yield f"seeds-{seed}", lambda folder, seed=seed: gym(folder, seed, "seeds", epochs=40)


def write_all(root: Path) -> list[Path]:
    """Write one of each below `root`; returns their folders."""
    folders = []
    for name, write in kinds():
        write(root / name)
        folders.append(root / name)
    return folders


if __name__ == "__main__":
    for written in write_all(Path(sys.argv[1])):
        sys.stdout.write(f"{written}\n")
