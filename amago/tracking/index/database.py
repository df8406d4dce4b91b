"""Opening `tracking.db`: where it is, whether it is ours, and what to do if it is not.

In the run's folder if that is on a local disk, may be written to and has working locks; else in the
user's cache (`$XDG_CACHE_HOME/amago`), under a name made of the folder's path; else in memory.
An index that is damaged, of another version or copied from elsewhere is built anew.
"""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from amago.tracking.index.schema import TABLES, VERSION

FILE = "tracking.db"
IN_MEMORY = ":memory:"

_PAGE_BYTES = 16_384  # a full chunk fits in one page
_PATIENCE_S = 10.0
_NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p", "fuse", "panfs")
"""How the names of file systems begin that are not, or may not be, on a disk of this machine."""


class UnusableError(Exception):
    """An index cannot be kept at this place."""


def candidates(run_dir: Path) -> list[str]:
    """Where the index of a run may be, the best place first."""
    inside = run_dir / FILE
    places = [str(inside)] if os.access(run_dir, os.W_OK) and is_local(run_dir) else []
    return [*places, str(cached(run_dir)), IN_MEMORY]


def cached(run_dir: Path) -> Path:
    """The index of a run in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    key = hashlib.sha256(os.fsencode(run_dir.resolve())).hexdigest()[:24]
    return Path(base) / "amago" / "tracking" / f"{key}.db"


def is_local(folder: Path) -> bool:
    """Whether a folder is on a disk of this machine; True where that cannot be found out."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return True
    path = os.path.realpath(folder)
    kind, longest = "", -1
    for mount in mounts:
        left, _, right = mount.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        is_around = path == point or path.startswith(point.rstrip("/") + "/")
        if is_around and len(point) >= longest:
            kind, longest = right.split()[0], len(point)
    return not kind.startswith(_NETWORK)


def connect(place: str) -> sqlite3.Connection:
    """An index at `place`, ready to read and write; empty if there was none that fits.

    May be used by several threads, one at a time.

    Raises:
        UnusableError: the place cannot be written to, or has no working locks.
    """
    try:
        if place != IN_MEMORY:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(place)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            discard(place)
            return _connect(place)
    except (OSError, sqlite3.Error) as error:
        raise UnusableError(f"{place}: {error}") from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is not, or no longer, a database that can be used."""
    if isinstance(error, _NotOursError):
        return True
    codes = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA)
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in codes


def is_busy(error: sqlite3.Error) -> bool:
    """Whether an error says only that somebody else writes at the moment."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def discard(place: str) -> None:
    """Delete an index. Who has it open keeps what they have."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place + suffix)


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Write all of it or nothing; one process at a time."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise


class _NotOursError(sqlite3.DatabaseError):
    """A database that this version did not make, or not at this place."""


def _connect(place: str) -> sqlite3.Connection:
    database = sqlite3.connect(
        place, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
    )
    try:
        database.text_factory = lambda text: text.decode("utf-8", "surrogatepass")
        database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        with transaction(database):
            _prepare(database, place)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, place: str) -> None:
    """Make the tables if there are none; find out whether those there are can be used."""
    version = database.execute("PRAGMA user_version").fetchone()[0]
    identity = 0 if place == IN_MEMORY else os.stat(place).st_ino
    has_tables = database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    if has_tables is None:
        for statement in TABLES.split(";"):
            database.execute(statement)
        database.execute("INSERT INTO meta VALUES ('inode', ?)", (identity,))
        database.execute(f"PRAGMA user_version = {VERSION}")
        return
    # A copy of a folder has another file: its index may be older than its record, or torn.
    if version != VERSION:
        raise _NotOursError(f"version {version}")
    if database.execute("SELECT value FROM meta WHERE key = 'inode'").fetchone() != (identity,):
        raise _NotOursError("copied")
