"""Serving the page: which address, which token, until Ctrl-C."""

import contextlib
import getpass
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from amago.core.errors import ConfigError
from amago.dashboard.app import create_app
from amago.dashboard.library import Library
from amago.dashboard.security import Door, allowed_hosts, is_loopback

DEFAULT_PORT = 8228
ADDRESS = "Dashboard: "
"""Begins the line that says where the page is."""

_NEVER = 8265  # Ray's dashboard
_PORTS_TRIED = 100


def serve(
    folders: Sequence[str | os.PathLike[str]] = (".",),
    port: int = DEFAULT_PORT,
    host: str = "127.0.0.1",
    needs_token: bool = True,
    opens_browser: bool = False,
    until_stdin_closes: bool = False,
    say: Callable[[str], None] | None = None,
) -> None:
    """Show every run below `folders` until Ctrl-C.

    Args:
        port: the first one tried; taken ones are skipped. 0 takes any that is free.
        host: address to listen at. Anything but this machine itself needs a token.
        until_stdin_closes: also end when standard input does, which is when the process that
            holds its other end is gone.
        say: shows a line; standard output by default.

    Raises:
        ConfigError: a folder that does not exist, no free port, or a port or host that cannot be.
    """
    roots = [existing_folder(folder) for folder in folders]
    if not needs_token and not is_loopback(host):
        raise ConfigError(
            f"--no-token is possible on this machine only, not with --host {host}: everybody who "
            f"reaches it could read the runs. Leave out one of the two."
        )
    token = secrets.token_urlsafe(24) if needs_token else None
    listening = bind(host, port)
    with contextlib.closing(listening):
        actual = listening.getsockname()[1]
        door = Door(
            token, allowed_hosts(host), not is_loopback(host), cookie=f"amago_dashboard_{actual}"
        )
        url = address(host, actual, token)
        lines = [f"{ADDRESS}{url}", *tunnel_advice(actual, token), "Ctrl-C ends it."]
        server = _Server(create_app(Library(roots), door), lambda: _announce(lines, say))
        if until_stdin_closes:
            threading.Thread(target=server.end_with_stdin, daemon=True).start()
        if opens_browser:
            # In a thread: a browser in the terminal returns only when it is closed.
            opener = threading.Thread(target=webbrowser.open, args=(url,), daemon=True)
            server.when_ready.append(opener.start)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


def existing_folder(folder: str | os.PathLike[str]) -> Path:
    """`folder` as a path; raises ConfigError if it is not there."""
    path = Path(folder).expanduser()
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise ConfigError(
            f"{path} {problem}. Name a run's folder, or a folder that holds runs: the "
            f"`ckpt_base_dir` of an experiment."
        )
    return path


def bind(host: str, port: int) -> socket.socket:
    """A listening socket at the first free port from `port` on; never Ray's."""
    if not 0 <= port <= 65535 or port == _NEVER:
        reason = "is the one of Ray's dashboard" if port == _NEVER else "is not between 0 and 65535"
        raise ConfigError(f"the port {port} {reason}; choose another with --port.")
    candidates = [0] if port == 0 else range(port, min(port + _PORTS_TRIED, 65536))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in candidates:
        if candidate == _NEVER:
            continue
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, candidate))
            listening.listen(128)
        except (PermissionError, socket.gaierror) as error:
            listening.close()
            raise ConfigError(f"cannot listen at {host}:{candidate}: {error.strerror}.") from error
        except OSError as error:
            listening.close()
            problem = error
            continue
        return listening
    raise ConfigError(
        f"cannot listen at {host} on any port from {port} on: {problem.strerror}. "
        f"Choose another with --port, or another --host."
    )


def address(host: str, port: int, token: str | None) -> str:
    """What to open in a browser on this machine."""
    if host in {"0.0.0.0", "::"}:
        host = socket.gethostname()
    elif ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}/" + ("" if token is None else f"?token={token}")


def tunnel_advice(port: int, token: str | None) -> list[str]:
    """What to type on one's own machine, if this is the far end of an SSH connection."""
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) != 4:
        return []
    _, _, here, ssh_port = connection
    option = "" if ssh_port == "22" else f"-p {ssh_port} "
    here = f"[{here}]" if ":" in here else here
    return [
        "You are connected by SSH. To open it on your own computer, run there",
        f"  ssh -N -L {port}:127.0.0.1:{port} {option}{_user()}@{here}",
        f"and open {address('127.0.0.1', port, token)}",
    ]


class _Server(uvicorn.Server):
    """Says where it is once it really answers there."""

    def __init__(self, app: object, announce: Callable[[], object]) -> None:
        config = uvicorn.Config(
            app,  # pyright: ignore[reportArgumentType]
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2,
        )
        super().__init__(config)
        self.when_ready: list[Callable[[], object]] = [announce]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for call in self.when_ready:
            call()

    def end_with_stdin(self) -> None:
        """Wait until standard input is closed at its other end, then stop."""
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        self.should_exit = True


def _announce(lines: Sequence[str], say: Callable[[str], None] | None) -> None:
    for line in lines:
        if say is None:
            sys.stdout.write(f"{line}\n")
        else:
            say(line)
    sys.stdout.flush()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return "USER"
