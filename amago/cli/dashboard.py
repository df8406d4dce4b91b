"""`amago dashboard`: the web page of local records."""

import sys
import tempfile
from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path

from amago.core.errors import ConfigError


def add_arguments(parser: ArgumentParser) -> None:
    """Add what `run` reads."""
    parser.add_argument(
        "folders",
        nargs="*",
        metavar="DIR",
        help="folders that hold runs, at any depth; the current one by default",
    )
    parser.add_argument(
        "--port", type=int, default=8228, help="first port to try (default %(default)s)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at (default %(default)s: this machine only)",
    )
    parser.add_argument(
        "--no-token",
        action="store_true",
        help="let everybody on this machine see the runs; never together with another --host",
    )
    parser.add_argument(
        "--export",
        metavar="FILE.html",
        help="write one page that needs no server, to send to somebody, instead of serving",
    )
    parser.add_argument(
        "--reference", action="store_true", help="show the finished runs that come with amago"
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--until-stdin-closes", action="store_true", help=SUPPRESS)


def run(args: Namespace) -> int:
    """Serve, or export, what the arguments name. Returns the exit status.

    Raises:
        AmagoError: a folder, port or file that cannot be used.
    """
    if not args.reference:
        return _show(args, args.folders or ["."])
    if args.folders:
        raise ConfigError("--reference shows the runs that come with amago; leave out the folders.")
    from amago.dashboard.reference_runs import unpack_references

    with tempfile.TemporaryDirectory(prefix="amago-reference-") as folder:
        unpack_references(Path(folder))
        return _show(args, [folder])


def _show(args: Namespace, folders: list[str]) -> int:
    if args.export:
        from amago.dashboard.export_html import export_page

        size = export_page(folders, args.export)
        sys.stdout.write(f"Wrote {args.export} ({size / 1e6:.1f} MB). Open it in any browser.\n")
        return 0
    from amago.dashboard.serve import serve

    serve(
        folders,
        port=args.port,
        host=args.host,
        needs_token=not args.no_token,
        opens_browser=args.open,
        until_stdin_closes=args.until_stdin_closes,
    )
    return 0
