"""The table of a report, for a terminal and as Markdown. Pure."""

from typing import Any

SCALES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
HEADER: tuple[str, ...] = (
    "case",
    "package",
    "unit",
    "per s",
    "wall",
    "CPU",
    "quartiles",
    "of first",
    "GFLOP",
    "bound CPU",
    "x bound",
    "peak MB",
    "more",
)


_SHORT = {
    "package": "{}",
    "CPU": "{} CPU",
    "wall": "{} wall",
    "x bound": "{} x bound",
    "of first": "{} of the first",
    "peak MB": "{} MB",
    "more": "{}",
}


def seconds(value: float) -> str:
    """Three digits and a unit: `1.23 ms`."""
    for scale, unit in SCALES:
        if abs(value) >= scale or unit == "ns":
            return f"{_digits(value / scale)} {unit}"
    raise AssertionError


def lines(result: dict[str, Any]) -> list[str]:
    """A line for each package, as soon as a case is measured."""
    named = [dict(zip(HEADER, row)) for row in rows(result)]
    return [
        f"{result['name']:32s} "
        + ", ".join(text.format(cells[column]) for column, text in _SHORT.items() if cells[column])
        for cells in named
    ]


def rows(result: dict[str, Any]) -> list[list[str]]:
    """The table's rows for one case, a row for each package."""
    return [_row(name, package, result) for name, package in result["packages"].items()]


def _row(name: str, package: dict[str, Any], result: dict[str, Any]) -> list[str]:
    head = [result["name"], name, result["unit"]]
    for reason in ("unsupported", "failed"):
        if reason in package:
            said = package[reason].strip().splitlines()[-1]
            return [*head, *[""] * (len(HEADER) - 4), f"{reason}: {said}"]
    cpu, ratio = package["cpu_s"], package.get("cpu_s_ratio")
    facts = package["facts"]
    return [
        *head,
        _digits(1 / package["wall_s"]["median"]),
        seconds(package["wall_s"]["median"]),
        seconds(cpu["median"]),
        f"{seconds(cpu['q1'])} - {seconds(cpu['q3'])}",
        f"{ratio['median']:.2f}" if ratio else "",
        _digits(facts["gflop"]) if "gflop" in facts else "",
        seconds(package["bound_cpu_s"]) if "bound_cpu_s" in package else "",
        f"{package['times_bound']['median']:.2f}" if "times_bound" in package else "",
        f"{package['peak_rss_mb']:.0f}",
        ", ".join(f"{k} {_digits(v['median'])}" for k, v in package["extra"].items()),
    ]


def markdown(header: tuple[str, ...], body: list[list[str]]) -> str:
    """A table whose columns line up also as plain text."""
    full = [list(header), *body]
    widths = [max(len(row[i]) for row in full) for i in range(len(header))]
    lines = [" | ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in full]
    rule = "-|-".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in [lines[0], rule, *lines[1:]])


def machine_lines(speeds: dict[str, float], meanings: dict[str, str]) -> str:
    """The machine's own speeds; `speeds` has each per second and per CPU-second."""
    return "\n".join(
        f"machine: {_digits(speeds[f'{name}_per_s'])} a second, "
        f"{_digits(speeds[f'{name}_per_cpu_s'])} a CPU-second: {meaning}"
        for name, meaning in meanings.items()
        if f"{name}_per_s" in speeds
    )


def _digits(value: float) -> str:
    """Three significant digits, without an exponent where that is readable."""
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
