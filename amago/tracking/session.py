"""Facts about one start of a run: who started what, where, and with which versions."""

import os
import platform
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import amago
from amago.tracking.redact import redact_command, redact_config

_PACKAGES = (
    "torch",
    "numpy",
    "gymnasium",
    "gin-config",
    "accelerate",
    "safetensors",
    "wandb",
    "flash-attn",
    "mamba-ssm",
)
_ENVIRONMENT = ("AMAGO_", "WANDB_", "CUDA_", "OMP_", "NCCL_", "TORCH_", "PYTORCH_", "SLURM_JOB_")
_GIT_TIMEOUT_S = 2.0


def describe_session() -> dict[str, Any]:
    """Command, place, versions and git state of this process, without secrets."""
    return {
        "command": redact_command(command()),
        "cwd": os.getcwd(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": package_versions(),
        "git": git_state(Path.cwd()),
        "environment": redact_config(
            {k: v for k, v in sorted(os.environ.items()) if k.startswith(_ENVIRONMENT)}
        ),
    }


def command() -> list[str]:
    """The command line of this process, as one would type it again."""
    return [Path(sys.executable).name, *sys.orig_argv[1:]]


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide results, without importing them."""
    found = {"amago": amago.__version__}  # also where it is not installed, but on the path
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """`{"commit", "is_dirty"}` of the repository around `folder`; None without one, or without git.

    Files that git does not track do not make it dirty.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "is_dirty": None if changed is None else bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def status_at_exit() -> str:
    """How this process is ending: "crashed" after an uncaught error, "stopped" by Ctrl-C."""
    error = getattr(sys, "last_value", None)
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    return "crashed" if error is not None else "finished"
