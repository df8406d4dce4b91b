"""What it takes to start a run of Meta-World ML45: seconds and memory until the first step.

    python benchmarks/bench_metaworld.py [--benchmark ml45] [--out metaworld.json]

Runs `examples/metaworld.py` with its defaults (45 actors, training and validation environments in
worker processes) up to where learning would begin, resets all environments, steps them a little,
and ends. First with an empty cache of tasks, then with the one that this left. Memory is that of
all processes together, shared pages counted once (PSS), sampled five times a second.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
STEPS = 100
SAMPLE_EVERY_S = 0.2

CHILD = f"""
import json, runpy, sys, time
import numpy as np
from amago.experiment import Experiment

def learn(self):
    for envs in (self.train_envs, self.val_envs):
        envs.reset()
    print("READY", flush=True)
    actions = np.random.default_rng(0).uniform(-1, 1, ({STEPS}, self.parallel_actors, 4))
    began = time.perf_counter()
    for action in actions.astype(np.float32):
        self.train_envs.step(action)
    frames = {STEPS} * self.parallel_actors
    print(json.dumps(frames / (time.perf_counter() - began)), flush=True)
    self.close()
    sys.exit()

Experiment.learn = learn
script = sys.argv.pop(1)
sys.argv[0] = script
runpy.run_path(script, run_name="__main__")
"""


def tree(process: psutil.Process) -> list[psutil.Process]:
    """The process and all that it started."""
    return [process, *process.children(recursive=True)]


def total(processes: list[psutil.Process]) -> tuple[float, float]:
    """Megabytes (PSS) and CPU seconds of some processes; those that have ended count nothing."""
    megabytes = seconds = 0.0
    for process in processes:
        try:
            megabytes += process.memory_full_info().pss / 1e6
            seconds += sum(process.cpu_times()[:2])
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return megabytes, seconds


def started(benchmark: str, k: int, folder: Path, cache: Path) -> dict[str, Any]:
    """Start a run once; what it took."""
    command = [sys.executable, "-c", CHILD, str(ROOT / "examples" / "metaworld.py")]
    command += ["--benchmark", benchmark, "--k", str(k), "--no_log"]
    command += ["--run_name", "bench", "--buffer_dir", str(folder)]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    log = folder / "output.txt"
    folder.mkdir()
    began = time.perf_counter()
    with log.open("w") as output:
        child = subprocess.Popen(command, stdout=output, env=environment)
    process = psutil.Process(child.pid)
    peak = 0.0
    while "READY" not in log.read_text():
        if child.poll() is not None:
            raise SystemExit(f"the run ended with exit code {child.returncode}: {log.read_text()}")
        peak = max(peak, total(tree(process))[0])
        time.sleep(SAMPLE_EVERY_S)
    seconds = time.perf_counter() - began
    processes = tree(process)
    megabytes, cpu_seconds = total(processes)
    while child.poll() is None:
        peak = max(peak, total(tree(process))[0])
        time.sleep(SAMPLE_EVERY_S)
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "megabytes_when_ready": round(megabytes),
        "megabytes_at_most": round(peak),
        "processes": len(processes),
        "steps_per_second": round(float(log.read_text().split()[-1])),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmark", default="ml45")
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/metaworld.json")
    args = parser.parse_args()
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    results: dict[str, Any] = {
        "command": " ".join([Path(sys.executable).name, *sys.argv]),
        "commit": commit,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 1),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in ("cold", "warm"):
            found = started(args.benchmark, args.k, folder / case, folder / "cache")
            print(case, json.dumps(found), flush=True)
            results[case] = found
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
