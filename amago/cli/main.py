"""The command line of `amago`. Each subcommand imports what it needs when it runs."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

import amago
from amago.core.errors import AmagoError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status.

    Args:
        argv: the command line without the program's name; None reads this process's.
    """
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except AmagoError as error:
        sys.stderr.write(f"amago: {error}\n")
        return 1


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="amago", description="Train agents that adapt in context.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="train an agent that adapts within a rollout, and show that it does (minutes)",
        description="Train an in-context agent on Meta-Frozen-Lake, then compare its success by "
        "attempt with the same agent without memory, and with random actions.",
    )
    demo.add_argument("--seed", type=int, default=1, help="everything random follows from it")
    demo.add_argument("--out", default="demo", help="folder for the summary, figure and record")
    demo.set_defaults(run=_demo)

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _demo(args: Namespace) -> int:
    from amago.cli.demo import run_demo

    run_demo(seed=args.seed, out=args.out)
    return 0


def _version(args: Namespace) -> int:
    sys.stdout.write(f"amago {amago.__version__}\n")
    return 0
