"""`amago export RUN_DIR`: the numbers of a run as a table."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("run_dir", help="the run's folder: <ckpt_base_dir>/<run_name>")
    parser.add_argument(
        "--out", help="file to write, .csv or .parquet (default: the run's name, .csv)"
    )
    parser.add_argument(
        "--metrics", default="*", help="a name, or a pattern such as 'val/*' (default: all)"
    )
    parser.add_argument(
        "--x", help="x-axis, e.g. total_frames, Epoch, 'Wall Time' (default: the run's own)"
    )
    parser.add_argument(
        "--wide",
        action="store_true",
        help="one line for each logged row, with every axis and metric, instead of one a value",
    )


def run(args: Namespace) -> int:
    """Write the file, and say where it is; returns the exit status."""
    from amago.tracking.export import export_run
    from amago.tracking.run import open_run

    with open_run(args.run_dir) as opened:
        out = Path(f"{opened.name}.csv") if args.out is None else Path(args.out)
        layout = "wide" if args.wide else "long"
        export_run(opened, out, metrics=args.metrics, x=args.x, layout=layout)
    sys.stdout.write(f"{out}\n")
    return 0
