"""The command line of `amago`. Only the subcommand that was named is imported."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module

from amago.core.errors import AmagoError

COMMANDS = {
    "train": "train an agent in any gymnasium environment, or a built-in one",
    "demo": "train an agent that adapts within a rollout, and show that it does (minutes)",
    "dashboard": "show runs in the browser, also while they train",
    "export": "write the metrics of a run as CSV or Parquet",
    "sync": "send the record of a run to Weights & Biases",
    "bench": "measure how fast this package is, beside what the machine can do",
    "version": "print the version",
}
"""Name of each subcommand, and of its module in `amago.cli`: what it is for.

Each module has `add_arguments(parser)` and `run(args) -> exit status`.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status.

    Args:
        argv: the command line without the program's name; None reads this process's.
    """
    argv = sys.argv[1:] if argv is None else argv
    args = _parser(chosen=argv[0] if argv else None).parse_args(argv)
    try:
        return args.run(args)
    except AmagoError as error:
        sys.stderr.write(f"amago: {error}\n")
        return 1


def _parser(chosen: str | None) -> ArgumentParser:
    parser = ArgumentParser(prog="amago", description="Train agents that adapt in context.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=f"{_sentence(purpose)}.")
        if name == chosen:
            module = import_module(f"amago.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
