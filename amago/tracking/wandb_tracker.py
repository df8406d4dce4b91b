"""Weights & Biases: the only file that speaks to it, and it imports `wandb` only when used.

Whatever happens there, training goes on and never waits: `WandbTracker` hands rows to a thread, in
which a `WandbRun` speaks to the client. How to run (online, offline, not at all) is decided before
the client is asked, every wait has a limit, and a run that cannot be online is kept offline, with
one line that says how to upload it.
"""

import io
import json
import os
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amago.core.config import configurable
from amago.core.errors import MissingExtraError, amago_warning
from amago.core.values import Histogram, Media, Table, Video
from amago.tracking.background import Background
from amago.tracking.client_messages import ClientMessages
from amago.tracking.config_files import recordable, write_text
from amago.tracking.media import as_picture, encode
from amago.tracking.reach import has_key, is_reachable
from amago.tracking.redact import redact_command
from amago.tracking.sections import is_axis, section
from amago.tracking.values import plain_row

TIME = "_timestamp"
"""Entry of a row that says when it was logged, in seconds since 1970: the client's own name."""

FOLDER = "wandb_logs"
"""Folder, in a run's, where the client keeps its files, and we the id of the run."""

_REACH_TIMEOUT_S = 3.0
_INIT_TIMEOUT_S = 15.0
_FINISH_TIMEOUT_S = 60.0
_EXIT_CODES = {"finished": 0, "stopped": 255}
_DISABLED = "disabled as asked"


@configurable(
    "amago.tracking.wandb_tracker",
    denylist=("run_name", "run_dir", "project", "entity", "group", "default_axis", "say", "warn"),
)
class WandbTracker:
    """A run on W&B, beside the training. Made by the experiment on rank 0.

    The run appears once its settings are known. Its id is kept in the run's folder, so that a later
    process continues the same run. W&B records hardware metrics by itself, so ours are left out.
    gin binds `train_prefix` and `finish_timeout_s`.

    Args:
        run_dir: the folder of the run; a collector, which is a run of its own, has its own.
        project: `None` reads `AMAGO_WANDB_PROJECT`, else `WANDB_PROJECT`, when the run starts.
        entity: `None` reads `AMAGO_WANDB_ENTITY`, else `WANDB_ENTITY`.
        group: `None` reads `WANDB_RUN_GROUP`.
        default_axis: x-axis that charts have unless another is chosen.
        train_prefix: "train-update" gives the names that dashboards of AMAGO 3.x use.
        finish_timeout_s: longest time for uploading what is left at the end.
        say: shows one line, from any thread.
        warn: shows one line about trouble, from any thread.
    """

    def __init__(
        self,
        run_name: str,
        run_dir: str | os.PathLike[str],
        project: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        default_axis: str = "total_frames",
        train_prefix: str = "train",
        finish_timeout_s: float = _FINISH_TIMEOUT_S,
        say: Callable[[str], None] = amago_warning,
        warn: Callable[[str], None] = amago_warning,
    ) -> None:
        self._run = WandbRun(
            *(run_name, run_dir, project, entity, group, default_axis, train_prefix),
            finish_timeout_s=finish_timeout_s,
            say=say,
            warn=warn,
        )
        self._behind = Background(
            self._run,
            warn,
            finish_timeout_s=_REACH_TIMEOUT_S + _INIT_TIMEOUT_S + finish_timeout_s,
            advice=_how_to_upload(run_dir),
        )

    @property
    def url(self) -> str | None:
        """Page of the run; None before it has started, after it has ended, and when offline."""
        return self._run.url

    def config(self, config: Mapping[str, Any]) -> None:
        """Show every setting of the run on its page, which appears now."""
        self._behind.config(config)

    def log(self, row: Mapping[str, Any]) -> None:
        """Hand one row over, with the time it is now."""
        if not all(is_axis(name) or name.startswith("System/") for name in row):
            self._behind.log({TIME: time.time(), **row})

    def finish(self, status: str) -> None:
        """End the run on W&B; what could not be uploaded in time stays on disk.

        A later row continues the run.
        """
        self._behind.finish(status)


class WandbRun:
    """A run on W&B: every call waits for the client, within limits.

    Args: those of `WandbTracker`, and
        config: settings of the run, if they are known already.
        command: arguments of the process that made the rows, as in `sys.argv`; None: of this one.
        settings: more of the client's settings.
    """

    def __init__(
        self,
        run_name: str,
        run_dir: str | os.PathLike[str],
        project: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        default_axis: str = "total_frames",
        train_prefix: str = "train",
        finish_timeout_s: float = _FINISH_TIMEOUT_S,
        config: Mapping[str, Any] | None = None,
        command: Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        say: Callable[[str], None] = amago_warning,
        warn: Callable[[str], None] = amago_warning,
    ) -> None:
        self._run_name = run_name
        self._run_dir = run_dir
        self._folder = Path(run_dir) / FOLDER
        self._project, self._entity, self._group = project, entity, group
        self._config = recordable(config or {})
        self._default_axis = default_axis
        self._train_prefix = train_prefix
        self._finish_timeout_s = finish_timeout_s
        self._command = command
        self._settings = dict(settings or {})
        self._say, self._warn = say, warn
        self._messages = ClientMessages(warn, self._say_incomplete)
        self._has_started = False
        self._is_complete = True
        self._defined: set[str] = set()
        self._has_said_media = False
        self._run: Any = None

    @property
    def url(self) -> str | None:
        """Page of the run; None before it has started, after it has ended, and when offline."""
        return None if self._run is None or self._run.offline else self._run.url

    @property
    def is_complete(self) -> bool:
        """False if something was not uploaded, as far as is known: certain after `finish`."""
        return self._is_complete

    @property
    def last_time(self) -> float | None:
        """When the last row was logged that a continued run had already; None without one."""
        if self._run is None or not self._run.resumed:
            return None
        return dict(self._run.summary).get(TIME)

    def config(self, config: Mapping[str, Any]) -> None:
        """Show every setting of the run on its page, which appears now."""
        self._config = recordable(config)
        if self._run is not None:
            self._run.config.update(self._config, allow_val_change=True)
        self.start()

    def start(self) -> None:
        """Begin the run; within 20 s, whatever the network does. A second call does nothing.

        Raises:
            wandb.Error: not even an offline run can be made. Rows are then ignored.
        """
        if self._has_started:
            return
        self._has_started = True
        reason = self.start_online()
        if reason == _DISABLED:
            return
        if reason:
            # The client keeps the id of a run that failed to start for itself.
            self._run = self._init("offline", secrets.token_hex(4))
            self._remember()
            self._say(f"W&B is offline ({reason}). {_how_to_upload(self._run_dir)}")
        else:
            self._say(f"W&B run: {self._run.url}")

    def start_online(self) -> str:
        """Begin the run, or continue it; returns why that is not possible, or ""."""
        reason = _reason_against_online(self._messages)
        if reason:
            return reason
        import wandb

        self._has_started = True
        stored_id = stored_run(self._folder).get("id")
        run_id, resume = (stored_id, "allow") if stored_id else (secrets.token_hex(4), None)
        try:
            self._run = self._init("online", run_id, resume)
        except (wandb.Error, OSError, ValueError) as error:
            return str(error).partition("\n")[0] or type(error).__name__
        self._remember()
        return ""

    def log(self, row: Mapping[str, Any]) -> None:
        """Send one row; `TIME` in it is when it was logged, else that is now."""
        self.start()
        if self._run is not None:
            sent = {self._renamed(name): self._sent(v) for name, v in plain_row(row).items()}
            self._define_axes(sent)
            self._run.log({name: value for name, value in sent.items() if value is not None})

    def finish(self, status: str) -> None:
        """End the run on W&B, and say so if something was not uploaded.

        A later row continues the run.
        """
        run, self._run = self._run, None
        self._has_started = False
        if run is None:
            return
        try:
            run.finish(exit_code=_EXIT_CODES.get(status, 1))
        except Exception as error:  # the results are safe in the local record
            is_late = isinstance(error, TimeoutError)
            self._say_incomplete("its server is too slow" if is_late else _said(error))

    def _init(self, mode: str, run_id: str, resume: str | None = None) -> Any:
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)
        wanted: dict[str, Any] = {
            "init_timeout": _INIT_TIMEOUT_S,
            "finish_timeout": self._finish_timeout_s,
            "finish_timeout_raises": True,
            "x_transaction_log_flush_interval": 1.0,  # a killed run loses a second, not 15
            "silent": True,
            **self._settings,
        }
        known = {
            name: value
            for name, value in wanted.items()
            if name in wandb.Settings.model_fields and f"WANDB_{name.upper()}" not in os.environ
        }
        with _command_line(self._command):
            run = wandb.init(
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
        run.define_metric(self._default_axis)
        self._defined = set()
        return run

    def _say_incomplete(self, reason: str) -> None:
        """Say once that something was not uploaded; may be called from the client's threads."""
        if self._is_complete:
            self._is_complete = False
            how = _how_to_upload(self._run_dir)
            self._warn(f"W&B has not taken everything ({reason.rstrip('.')}). {how}")

    def _define_axes(self, names: Iterable[str]) -> None:
        """Give the charts of every section, also those of a user's own, the default x-axis."""
        sections = {section(name) for name in names if not is_axis(name)}
        for new in sorted(sections - self._defined):
            self._run.define_metric(f"{new}/*", step_metric=self._default_axis)
        self._defined |= sections

    def _renamed(self, name: str) -> str:
        return f"{self._train_prefix}/{name[6:]}" if name.startswith("train/") else name

    def _sent(self, value: Any) -> Any:
        """`value` as the client has it; None for what it cannot take, which is said once."""
        try:
            return _to_wandb(value)
        except MissingExtraError as error:
            if not self._has_said_media:
                self._has_said_media = True
                self._warn(f"{error} W&B is sent none.")
            return None

    def _remember(self) -> None:
        """Keep the run's id: that of the first start, which later ones continue."""
        run = self._run
        facts = {"id": run.id, "project": run.project, "entity": run.entity, "url": self.url}
        known = stored_run(self._folder)
        facts |= {"id": known.get("id", run.id), "mode": "offline" if run.offline else "online"}
        write_text(self._folder / "run.json", json.dumps(facts, indent=2) + "\n")


def stored_run(folder: Path) -> dict[str, Any]:
    """`id`, `project`, `entity`, `url` and `mode` of the run on W&B; {} if there was none yet."""
    try:
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _how_to_upload(run_dir: str | os.PathLike[str]) -> str:
    run_dir = Path(run_dir)
    if run_dir.parent.name == "collectors":  # a collector's folder lies in its run's
        run_dir = run_dir.parents[1]
    return f"To upload it: amago sync {shlex.quote(str(run_dir))}"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _environment(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _to_wandb(value: Any) -> Any:
    if not isinstance(value, Histogram | Media):
        return value
    import wandb

    if isinstance(value, Histogram):
        return wandb.Histogram(np_histogram=(value.counts, value.edges))
    if isinstance(value, Table):
        return wandb.Table(columns=list(value.columns), data=[list(row) for row in value.rows])
    if isinstance(value, Video):
        return wandb.Video(io.BytesIO(encode(value)), format="gif")
    return wandb.Image(as_picture(value.pixels))


def _reason_against_online(messages: ClientMessages) -> str:
    """Why a run cannot be online, as far as is known without the client; "" if it may work.

    The client says from now on what it has to say to `messages`, and asks nothing.
    """
    import wandb

    settings = wandb.setup().settings
    wandb.termsetup(wandb.Settings(silent=True), messages)
    mode = os.environ.get("WANDB_MODE") or settings.mode or "online"
    if mode == "disabled":
        return _DISABLED
    if mode in ("offline", "dryrun"):
        return "as asked"
    # Not `wandb.login`, which asks the server who the key belongs to: 5 s if nobody answers.
    variables = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    if not (settings.api_key or has_key(settings.base_url, *variables)):
        return "no API key: run `wandb login` first"
    if not is_reachable(settings.base_url, _REACH_TIMEOUT_S):
        return f"{settings.base_url} does not answer"
    return ""


@contextmanager
def _command_line(command: Sequence[str] | None) -> Iterator[None]:
    """What the client takes for the command, which it reads from `sys.argv` as a run starts.

    Args:
        command: of another process; None means this one's, without its secrets.
    """
    original = sys.argv
    shown = redact_command(original) if command is None else list(command)
    if shown != original:  # seldom: other threads see it as well
        sys.argv = shown
    try:
        yield
    finally:
        sys.argv = original
