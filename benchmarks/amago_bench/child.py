"""The process that a case runs in: prepares it, then repeats it whenever it is told to.

Speaks JSON, one message a line. It first says `{"ready": ...}`, `{"unsupported": reason}` or
`{"failed": traceback}`; then it answers each line it gets with a repeat. An empty line ends it.
"""

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, TextIO

from amago_bench.registry import Case, Context, Unsupported, all_cases
from amago_bench.watch import PEAK, Watch, peak_rss_mb


def main() -> None:
    """Serve the case that the first argument, a JSON object, describes."""
    order = json.loads(sys.argv[1])
    replies = _claim_stdout()
    with tempfile.TemporaryDirectory(prefix="amago-bench-") as folder:
        context = Context(
            folder=Path(folder),
            threads=order["threads"],
            quick=order["quick"],
            seeds=tuple(order["seeds"]),
        )
        try:
            _check_origin(order["package_path"])
            _serve(_case(order["case"]), context, replies)
        except Unsupported as reason:
            _say(replies, {"unsupported": str(reason)})
        except Exception:
            _say(replies, {"failed": traceback.format_exc()})


def _case(name: str) -> Case:
    from amago_bench.machine import BOUNDS

    return BOUNDS if name == BOUNDS.name else all_cases()[name]


def _serve(case: Case, context: Context, replies: TextIO) -> None:
    with case.prepare(context) as work:
        watch = Watch()
        for _ in range(0 if context.quick else work.warmup):
            work.once(watch)
        _say(replies, {"ready": work.facts})
        while sys.stdin.readline().strip():
            watch.reset()
            units = work.once(watch)
            _say(
                replies,
                {
                    "units": units,
                    "wall_s": watch.wall_s / units,
                    "cpu_s": watch.cpu_s / units,
                    "peak_rss_mb": watch.extra.pop(PEAK, None) or peak_rss_mb(),
                    "extra": watch.extra,
                },
            )


def _claim_stdout() -> TextIO:
    """A line to the parent that nothing else writes on: what others print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return replies


def _say(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def _check_origin(package_path: str | None) -> None:
    """Fail rather than measure another package than the one named."""
    if package_path is None:
        return
    import amago

    found = Path(amago.__file__).resolve()
    if Path(package_path).resolve() not in found.parents:
        raise RuntimeError(f"`import amago` found {found}, which is not below {package_path}.")


if __name__ == "__main__":
    main()
