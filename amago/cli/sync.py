"""`amago sync RUN_DIR`: a local record goes to Weights & Biases afterwards."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amago.core.errors import AmagoError, MissingExtraError, RunNotFoundError
from amago.tracking.claim import Claim
from amago.tracking.config_files import write_text
from amago.tracking.media import load
from amago.tracking.reader import Row, read_events, read_rows
from amago.tracking.wandb_tracker import FOLDER, TIME, WandbRun, stored_run

_FINISH_TIMEOUT_S = 600.0
_KEPT = "synced.json"
_PLACE = ("id", "project", "entity")
_TIME_TOLERANCE_S = 1e-6


class SyncError(AmagoError):
    """A record that could not be uploaded, or not in full. Another attempt continues."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `amago sync`."""
    parser.add_argument("run_dir", type=Path, help="folder of the run, which holds `tracking/`")
    parser.add_argument("--project", help="default: the run's own, else AMAGO_WANDB_PROJECT")
    parser.add_argument("--entity", help="user or team; default: the run's, else the variable")
    parser.add_argument("--group", help="default: the run's `wandb_group_name`")
    parser.add_argument(
        "--train-prefix",
        default="train",
        help='"train-update" gives the names that dashboards of AMAGO 3.x use',
    )


def run(args: Namespace) -> int:
    """Upload what W&B does not have yet of the run in `args.run_dir`; returns the exit status.

    Each collector is a run of its own there, in the same group, as it is while a run is tracked
    live. Uploading twice continues and repeats nothing.

    Raises:
        RunNotFoundError: there is no record.
        SyncError: W&B cannot be reached, or did not take everything in time; or the run goes on
            and is on W&B already.
    """
    records = _records(args.run_dir)
    for record in records:
        count, url = _upload(record, args)
        what = f"{count} rows of {record.writer}" if count else f"nothing new of {record.writer}"
        sys.stdout.write(f"{what}: {url}\n")
    return 0


# ----------------------------------------------------------------------------- what there is


@dataclass
class _Record:
    """What is one run on W&B: the training and its evaluations, or the same of a collector.

    Args:
        writers: of the rows, the one first that the run is named after.
        folder: where their process keeps what it knows of W&B.
        session: the last start, with its settings and its command.
        status: how it ended; "running" if it has not.
    """

    run_dir: Path
    writers: list[str]
    folder: Path
    session: dict[str, Any]
    status: str

    @property
    def writer(self) -> str:
        """Who wrote it."""
        return self.writers[0]

    @property
    def name(self) -> str:
        """Name of the run on W&B."""
        is_main = self.folder == self.run_dir
        return self.run_name if is_main else f"{self.run_name}-{self.writer}"

    @property
    def run_name(self) -> str:
        return self.setting("run_name") or self.run_dir.resolve().name

    def setting(self, name: str) -> Any:
        """A setting of the experiment, None where the record has none."""
        return self.session.get("config", {}).get("experiment", {}).get(name)


def _records(run_dir: Path) -> list[_Record]:
    """The runs on W&B that a record makes, the learner's first.

    Raises:
        RunNotFoundError: it has no writer.
    """
    sessions: dict[str, dict[str, Any]] = {}
    statuses: dict[str, str] = {}
    for event in read_events(run_dir):
        writer = event["writer"]
        if event.get("kind") == "session":
            sessions[writer] = event
            statuses.pop(writer, None)
        elif event.get("kind") == "finish":
            statuses[writer] = event.get("status", "crashed")
    if not sessions:
        raise RunNotFoundError(
            f"there is no record of a run in '{run_dir}': it would be in '{run_dir / 'tracking'}'. "
            f"Give the folder of one run, <ckpt_base_dir>/<run_name>."
        )
    together: dict[Path, list[str]] = {}
    for writer in sorted(sessions, key=lambda writer: (writer != "learner", writer)):
        together.setdefault(_folder(run_dir, writer, sessions), []).append(writer)
    records = []
    for folder, writers in together.items():
        ends = [statuses.get(each) or _status_of_the_unfinished(run_dir, each) for each in writers]
        status = "running" if "running" in ends else ends[0]
        records.append(_Record(run_dir, writers, folder, sessions[writers[0]], status))
    return records


def _folder(run_dir: Path, writer: str, writers: Collection[str]) -> Path:
    """Where the process that is `writer` keeps what it knows of W&B: the same for its trackers."""
    kind, _, identity = writer.partition("-")
    if kind == "collector" or f"collector-{identity}" in writers:
        return run_dir / "collectors" / identity
    if writer == "learner" or kind == "evaluation":
        return run_dir
    return run_dir / "collectors" / writer


def _status_of_the_unfinished(run_dir: Path, writer: str) -> str:
    claim = Claim(run_dir / "tracking" / f"{writer}.jsonl")
    is_dead = claim.take()
    claim.release()
    return "crashed" if is_dead else "running"


# ------------------------------------------------------------------------ what W&B has


@dataclass(frozen=True)
class _Uploaded:
    """What was uploaded from here.

    Args:
        id, project, entity: the run on W&B.
        last: generation and step of the last row, by writer.
        time: when the last row of all was logged.
        rows: how many were uploaded with it.
    """

    id: str
    project: str
    entity: str
    last: dict[str, list[int]]
    time: float
    rows: int


def _is_new(
    place: Mapping[str, Any], last_time: float | None, kept: _Uploaded | None
) -> Callable[[Row], bool]:
    """Tells of a row whether W&B lacks it.

    Args:
        place: the run on W&B; what was uploaded to another does not count.
        last_time: when the last row was logged that W&B has; None if it has none.
    """
    if last_time is None:
        return lambda row: True
    is_there = kept is not None and all(getattr(kept, key) == place[key] for key in _PLACE)
    if kept is not None and is_there and kept.time >= last_time - _TIME_TOLERANCE_S:
        last = kept.last
        return lambda row: [row.generation, row.step] > last.get(row.writer, [])
    # The run itself has sent rows, each a moment after it was recorded.
    return lambda row: row.time > last_time + _TIME_TOLERANCE_S


def _kept(file: Path) -> _Uploaded | None:
    """What an earlier upload has written; None if there was none, or it cannot be read."""
    try:
        return _Uploaded(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


# ------------------------------------------------------------------------------- uploading


def _upload(record: _Record, args: Namespace) -> tuple[int, str]:
    """Upload the new rows of one run. Returns their number, and the address of their page."""
    folder = record.folder / FOLDER
    known = stored_run(folder)
    if record.status == "running" and known.get("mode") == "online":
        raise SyncError(
            f"the run goes on, and sends its rows to {known.get('url')} by itself. "
            f"Upload what may be missing when it has ended."
        )
    target = _target(record, args, known)
    if reason := target.start_online():
        raise SyncError(f"W&B cannot be used ({reason}). Nothing was uploaded.")
    url = target.url or ""
    kept = _kept(folder / _KEPT)
    sent = _send(record, target, kept, stored_run(folder))
    target.finish("finished" if record.status == "running" else record.status)
    if not target.is_complete:
        raise SyncError(f"not all rows of {record.writer} have arrived at {url}: try again.")
    if sent is not None:
        write_text(folder / _KEPT, json.dumps(asdict(sent), indent=2) + "\n")
    return (0 if sent is None else sent.rows), url


def _send(
    record: _Record, target: WandbRun, kept: _Uploaded | None, place: Mapping[str, Any]
) -> _Uploaded | None:
    """Hand over what W&B lacks. Returns the last rows, and how many; None if there was nothing."""
    is_new = _is_new(place, target.last_time, kept)
    media = _Media(record.run_dir)
    last = {} if kept is None else dict(kept.last)
    newest, count = 0.0, 0
    for row in _rows(record):
        if is_new(row):
            target.log({TIME: row.time, **row.axes, **media.loaded(row.data)})
            last[row.writer] = [row.generation, row.step]
            newest, count = row.time, count + 1
    if count == 0:
        return None
    return _Uploaded(**{key: place[key] for key in _PLACE}, last=last, time=newest, rows=count)


def _target(record: _Record, args: Namespace, known: Mapping[str, Any]) -> WandbRun:
    return WandbRun(
        record.name,
        record.folder,
        project=args.project or known.get("project") or record.setting("wandb_project"),
        entity=args.entity or known.get("entity") or record.setting("wandb_entity"),
        group=args.group or record.setting("wandb_group_name"),
        default_axis=_default_axis(record),
        train_prefix=args.train_prefix,
        finish_timeout_s=_FINISH_TIMEOUT_S,
        config=record.session.get("config"),
        command=_arguments(record),
        settings=_client_settings(record),
        say=_say,
        warn=_say,
    )


def _client_settings(record: _Record) -> dict[str, Any]:
    """What the client would else report of this machine, where the run is only uploaded."""
    git = record.session.get("git") or {}
    return {
        "console": "off",
        "disable_git": True,
        "git_commit": git.get("commit"),
        "host": record.session.get("host"),
        "program": " ".join(_arguments(record)[:1]),
        "x_disable_stats": True,
        "x_save_requirements": False,
        "x_update_finish_state": record.status != "running",
    }


def _arguments(record: _Record) -> list[str]:
    """The command without the interpreter; `-m module` counts as one, as the client has it."""
    arguments = list(record.session.get("command") or [""])[1:]
    return [" ".join(arguments[:2]), *arguments[2:]] if arguments[:1] == ["-m"] else arguments


def _default_axis(record: _Record) -> str:
    """The x-axis of charts: frames, unless they never advance."""
    seen = set()
    for row in _rows(record):
        seen.add(row.axes.get("total_frames"))
        if len(seen) > 1:
            return "total_frames"
    return "gradient_steps"


def _rows(record: _Record) -> Iterator[Row]:
    return (row for row in read_rows(record.run_dir) if row.writer in record.writers)


class _Media:
    """Turns references to files beside the record into the values that they hold."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._has_warned = False

    def loaded(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """`data` of a row; without the files that are gone."""
        return {
            name: self._load(value) if isinstance(value, dict) and "media" in value else value
            for name, value in data.items()
        }

    def _load(self, reference: Mapping[str, Any]) -> Any:
        try:
            return load(self._run_dir, reference)
        except MissingExtraError as error:
            if not self._has_warned:
                self._has_warned = True
                _say(f"{error} They are left out.")
            return None


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
