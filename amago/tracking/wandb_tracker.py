"""Weights & Biases: the only file that speaks to it, and it imports `wandb` only when used.

Whatever happens there, training goes on: how to run (online, offline, not at all) is decided
before the client is asked, every wait has a limit, and a run that cannot be online is kept offline,
with one line that says how to upload it.
"""

import json
import netrc
import os
import secrets
import ssl
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from amago.core.errors import amago_warning
from amago.core.values import Histogram
from amago.tracking.config_files import recordable, write_text
from amago.tracking.redact import redact_command
from amago.tracking.sections import is_axis
from amago.tracking.values import plain_row

_REACH_TIMEOUT_S = 3.0
_INIT_TIMEOUT_S = 6.0
_FINISH_TIMEOUT_S = 60.0
_CHARTED = ("val", "test", "train", "dataset")
_EXIT_CODES = {"finished": 0, "stopped": 255}


class WandbTracker:
    """A run on W&B. Made by the experiment on rank 0; `start` or the first row begins it.

    The run's id is kept in the run folder, so that a later process continues the same run.

    Args:
        project: `None` reads `AMAGO_WANDB_PROJECT`, else `WANDB_PROJECT`, when the run starts.
        entity: `None` reads `AMAGO_WANDB_ENTITY`, else `WANDB_ENTITY`.
        group: `None` reads `WANDB_RUN_GROUP`.
        default_axis: x-axis that charts have unless another is chosen.
        resume_id: id of a W&B run to continue; `None` continues the run folder's own, if any.
        train_prefix: "train-update" gives the names that dashboards of AMAGO 3.x use.
        say: shows one line.
        warn: shows one line about trouble.
    """

    def __init__(
        self,
        run_name: str,
        run_dir: str | os.PathLike[str],
        project: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        config: Mapping[str, Any] | None = None,
        default_axis: str = "total_frames",
        resume_id: str | None = None,
        train_prefix: str = "train",
        say: Callable[[str], None] = amago_warning,
        warn: Callable[[str], None] = amago_warning,
    ) -> None:
        self._folder = Path(run_dir) / "wandb_logs"
        self._run_name = run_name
        self._project, self._entity, self._group = project, entity, group
        self._config = recordable(config or {})
        self._default_axis = default_axis
        self._resume_id = resume_id
        self._train_prefix = train_prefix
        self._say, self._warn = say, warn
        self._has_started = False
        self._run: Any = None

    @property
    def url(self) -> str | None:
        """Page of the run; None before it starts and when offline."""
        return None if self._run is None or self._run.offline else self._run.url

    def config(self, config: Mapping[str, Any]) -> None:
        """Show every setting of the run on its page."""
        self._config = recordable(config)
        if self._run is not None:
            self._run.config.update(self._config, allow_val_change=True)

    def start(self) -> None:
        """Begin the run; within about 20 s, whatever the network does. A second call does nothing.

        Raises:
            wandb.Error: not even an offline run can be made. Rows are then ignored.
        """
        if self._has_started:
            return
        self._has_started = True
        mode, reason = _choose_mode()
        stored_id = self._resume_id or _read_id(self._folder / "run.json")
        run_id = stored_id or secrets.token_hex(4)
        with _redacted_argv():
            if mode == "online":
                self._run, reason = self._init_online(run_id, "allow" if stored_id else None)
                if self._run is None:
                    # The client keeps the id of a run that failed to start for itself.
                    mode, run_id = "offline", secrets.token_hex(4)
            if self._run is None:
                self._run = self._init(mode, run_id)
        if mode != "disabled":
            self._define_axes()
            self._announce(stored_id, reason)
            if stored_id is None:
                self._remember()

    def log(self, row: Mapping[str, Any]) -> None:
        """Send one row. W&B records `System/` metrics by itself, so ours are left out."""
        self.start()
        if self._run is None:
            return
        kept = {k: v for k, v in plain_row(row).items() if not k.startswith("System/")}
        if not all(is_axis(name) for name in kept):
            self._run.log({self._renamed(name): _to_wandb(value) for name, value in kept.items()})

    def finish(self, status: str) -> None:
        """End the run on W&B; what could not be uploaded in time stays on disk.

        A later row continues the run.
        """
        if self._run is None:
            return
        run, self._run = self._run, None
        self._has_started = False
        try:
            run.finish(exit_code=_EXIT_CODES.get(status, 1))
        except Exception as error:  # the results are safe in the local record
            self._warn(f"W&B did not finish cleanly ({type(error).__name__}: {error}).")

    def _announce(self, stored_id: str | None, reason: str) -> None:
        if self._run.offline:
            continued = f"--id {stored_id} " if stored_id else ""
            folder = Path(self._run.dir).parent
            self._say(f"W&B is offline ({reason}). To upload: wandb sync {continued}{folder}")
        else:
            self._say(f"W&B run: {self._run.url}")

    def _init_online(self, run_id: str, resume: str | None) -> tuple[Any, str]:
        """The run, or None and the reason."""
        import wandb

        try:
            return self._init("online", run_id, resume), ""
        except (wandb.Error, OSError, ValueError) as error:
            return None, str(error).partition("\n")[0] or type(error).__name__

    def _init(self, mode: str, run_id: str, resume: str | None = None) -> Any:
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "init_timeout": _INIT_TIMEOUT_S,
            "finish_timeout": _FINISH_TIMEOUT_S,
            "x_transaction_log_flush_interval": 1.0,  # a killed run loses a second, not 15
        }
        known = {name: value for name, value in settings.items() if _has_setting(name)}
        return wandb.init(
            project=self._project or _environment("AMAGO_WANDB_PROJECT", "WANDB_PROJECT"),
            entity=self._entity or _environment("AMAGO_WANDB_ENTITY", "WANDB_ENTITY"),
            group=self._group or _environment("WANDB_RUN_GROUP"),
            name=self._run_name,
            dir=str(self._folder),
            config=self._config,
            mode=mode,  # pyright: ignore[reportArgumentType]
            id=run_id,
            resume=resume,  # pyright: ignore[reportArgumentType]
            settings=wandb.Settings(**known),
        )

    def _define_axes(self) -> None:
        self._run.define_metric(self._default_axis)
        for section in _CHARTED:
            self._run.define_metric(self._renamed(f"{section}/*"), step_metric=self._default_axis)

    def _renamed(self, name: str) -> str:
        return f"{self._train_prefix}/{name[6:]}" if name.startswith("train/") else name

    def _remember(self) -> None:
        run = self._run
        facts = {"id": run.id, "project": run.project, "entity": run.entity, "url": self.url}
        write_text(self._folder / "run.json", json.dumps(facts, indent=2) + "\n")


def _read_id(file: Path) -> str | None:
    try:
        return json.loads(file.read_text(encoding="utf-8"))["id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _environment(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _has_setting(name: str) -> bool:
    import wandb

    return name in wandb.Settings.model_fields


def _to_wandb(value: Any) -> Any:
    if not isinstance(value, Histogram):
        return value
    import wandb

    return wandb.Histogram(np_histogram=(value.counts, value.edges))


# ------------------------------------------------------------------------- online or offline


def _choose_mode() -> tuple[str, str]:
    """How to run, and why when that is not what the user would expect."""
    import wandb

    settings = wandb.setup().settings
    mode = os.environ.get("WANDB_MODE") or settings.mode or "online"
    mode = {"dryrun": "offline", "run": "online"}.get(mode, mode)  # its older names
    if mode != "online":
        return mode, "as asked"
    # Not `wandb.login`, which asks the server who the key belongs to: 5 s if nobody answers.
    if not (settings.api_key or _has_key(settings.base_url)):
        return "offline", "no API key: run `wandb login` first"
    if not _is_reachable(settings.base_url):
        return "offline", f"{settings.base_url} does not answer"
    return "online", ""


def _has_key(url: str) -> bool:
    if _environment("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        return True
    named = os.environ.get("NETRC")
    files = [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for file in files:
        try:
            if netrc.netrc(file).authenticators(urlsplit(url).netloc):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def _is_reachable(url: str) -> bool:
    """True if a web server answers at `url` in time.

    In a thread, because looking up a name has no time-out of its own.
    """
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(_answers(url)), daemon=True)
    thread.start()
    thread.join(_REACH_TIMEOUT_S)
    return bool(answers and answers[0])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_REACH_TIMEOUT_S):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except urllib.error.URLError as error:
        # Python may lack certificates that the client, a program of its own, has.
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError):
        return False


@contextmanager
def _redacted_argv() -> Iterator[None]:
    """Hides secrets from the client, which reads the command from `sys.argv` as a run starts."""
    original = sys.argv
    sys.argv = redact_command(original)
    try:
        yield
    finally:
        sys.argv = original
