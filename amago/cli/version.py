"""`amago version`."""

import sys
from argparse import ArgumentParser, Namespace

import amago


def add_arguments(parser: ArgumentParser) -> None:
    """It takes none."""


def run(args: Namespace) -> int:
    """Print the version; returns the exit status."""
    sys.stdout.write(f"amago {amago.__version__}\n")
    return 0
