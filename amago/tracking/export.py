"""A run's numbers as one table in a file, for other programs: CSV or Parquet."""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from amago.core.errors import ConfigError, MissingExtraError
from amago.tracking.run import Run

Layout = Literal["long", "wide"]
Columns = Mapping[str, np.ndarray]

_SUFFIXES = (".csv", ".parquet")
_ROWS_AT_ONCE = 10_000


def export_run(
    run: Run,
    path: str | os.PathLike[str],
    metrics: str = "*",
    x: str | None = None,
    layout: Layout = "long",
) -> Path:
    """Write the metrics that are numbers to `path`; what was there is replaced, in one step.

    Args:
        path: ends in `.csv`, or in `.parquet` (needs the extra "export").
        metrics: a name, or a pattern with `*` and `?`.
        x: the axis, for "long"; None is the run's own default.
        layout: "long" has a line for each value: run, metric, x, value. "wide" has a line for each
            row of the record: run, writer, Step, Wall Time, Process Time, every axis and every
            metric; what a row does not have is empty.

    Returns:
        `path`.

    Raises:
        ConfigError: another suffix or layout.
        MetricNotFoundError: nothing matches, or no such axis.
        MissingExtraError: pyarrow is not installed.
    """
    target = Path(path)
    if target.suffix not in _SUFFIXES or layout not in ("long", "wide"):
        raise ConfigError(
            f"cannot export to '{target}' in the layout '{layout}': the file's name ends in "
            f"{' or '.join(_SUFFIXES)}, the layout is 'long' or 'wide'."
        )
    names = run.numeric(metrics)
    if layout == "long":
        tables = _long(run, names, run.default_axis if x is None else x)
    else:
        tables = _wide(run, names)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        (_write_csv if target.suffix == ".csv" else _write_parquet)(draft, tables)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def _long(run: Run, names: Iterable[str], x: str) -> Iterator[Columns]:
    yield {"run": _text([]), "metric": _text([]), x: np.empty(0), "value": np.empty(0)}
    for name in names:
        series = run.series(name, x)
        labels = {"run": _text([run.name]), "metric": _text([name])}
        repeated = {key: np.repeat(label, len(series.x)) for key, label in labels.items()}
        yield {**repeated, x: series.x, "value": series.y}


def _wide(run: Run, names: list[str]) -> Iterator[Columns]:
    columns = ("Step", "Wall Time", "Process Time", *run.axes, *names)
    yield {"run": _text([]), "writer": _text([]), **{name: np.empty(0) for name in columns}}
    for writer, block in run.rows(names, _ROWS_AT_ONCE):
        count = len(next(iter(block.values())))
        yield {
            "run": np.repeat(_text([run.name]), count),
            "writer": np.repeat(_text([writer]), count),
            **block,
        }


def _text(values: list[str]) -> np.ndarray:
    return np.array(values, dtype=object)


def _write_csv(path: Path, tables: Iterable[Columns]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        for i, table in enumerate(tables):
            if i == 0:
                writer.writerow(table)
            writer.writerows(zip(*map(_cells, table.values())))


def _cells(column: np.ndarray) -> list[Any]:
    """Values for a CSV file: whole numbers without a point, NaN empty."""
    if column.dtype == object:
        return column.tolist()
    numbers = column[~np.isnan(column)]
    is_whole = np.all(numbers == np.round(numbers)) and np.all(np.abs(numbers) < 2**53)
    convert = int if is_whole else float
    return [convert(value) if value == value else "" for value in column.tolist()]


def _write_parquet(path: Path, tables: Iterable[Columns]) -> None:
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
        from pyarrow.parquet import ParquetWriter  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtraError("pyarrow", "export", "A Parquet file") from error
    writer = None
    try:
        for table in tables:
            arrays = {
                _encodable(name): pyarrow.array(
                    [_encodable(text) for text in column] if column.dtype == object else column,
                    type=pyarrow.string() if column.dtype == object else pyarrow.float64(),
                )
                for name, column in table.items()
            }
            arrow = pyarrow.table(arrays)
            writer = writer or ParquetWriter(path, arrow.schema)
            writer.write_table(arrow)
    finally:
        if writer is not None:
            writer.close()


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
