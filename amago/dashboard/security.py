"""Who may talk to the dashboard: hosts, methods, the token, and the headers of every answer.

On a shared machine everybody can reach the loopback interface, so a token is asked for there too.
It travels once in the printed address (`/?token=...`) and then in a cookie that scripts cannot read
and that no other site can make a browser send. A page on another site that lets its own name point
to 127.0.0.1 is stopped by the list of hosts.
"""

import hmac
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Of every answer, unless it sets them itself. There are no CORS headers."""

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")

_ASK = (
    "This dashboard asks for a token. Open the address that `amago dashboard` printed when it "
    "started: it ends in ?token=..."
)
_LOCKED_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>amago dashboard: token needed</title></head>
<body><h1>Token needed</h1><p>{_ASK}</p>
<p>If it has been started again since, the old address no longer works.</p></body></html>
"""
_ENTER_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>amago dashboard</title>
<meta http-equiv="refresh" content="0; url=/"></head>
<body><p><a href="/">Open the dashboard</a></p></body></html>
"""


def is_loopback(host: str) -> bool:
    """True if a server bound to `host` is reachable from its own machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(bind: str) -> frozenset[str]:
    """Names by which a server bound to `bind` may be called, in lower case, without a port."""
    if is_loopback(bind):
        return _LOCAL_NAMES | {bind.lower()}
    return _LOCAL_NAMES | {bind.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}


@dataclass(frozen=True)
class Door:
    """What a caller has to show.

    Args:
        token: asked of everybody; None asks for nothing.
        hosts: names that the `Host` header may carry.
        any_address: also accept every IP address there (a server that others may reach: a browser
            that was lured here comes by a name).
        cookie: name of the cookie that holds the token. Cookies do not know ports, so the name
            contains the port.
    """

    token: str | None
    hosts: frozenset[str]
    any_address: bool = False
    cookie: str = "amago_dashboard"

    def knows(self, host: str) -> bool:
        """True if the `Host` header names this server."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].strip("[]").lower()
        return name in self.hosts or (self.any_address and _is_address(name))

    def opens(self, candidates: Iterable[str]) -> bool:
        """True if no token is asked for, or one of `candidates` is it."""
        return self.token is None or any(_equal(self.token, each) for each in candidates)


class Guard:
    """Middleware: turns away what `door` does not let in; sets `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        return self._wrong_host(headers) or _wrong_method(scope, headers) or self._locked(scope)

    def _wrong_host(self, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return error(400, "A request must name its host exactly once.")
        if not self._door.knows(hosts[0]):
            names = ", ".join(sorted(self._door.hosts))
            return error(403, f"This server does not answer to that host name; use one of {names}.")
        return None

    def _locked(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        given = _tokens_of_query(scope)
        if given and scope["path"] == "/" and self._door.token is not None:
            return self._enter(headers) if self._door.opens(given) else _locked(headers)
        cookies = cookie_parser(headers.get("cookie", ""))
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        shown = [cookies.get(self._door.cookie, "")]
        if scheme.lower() == "bearer":
            shown.append(bearer.strip())
        return None if self._door.opens(shown) else _locked(headers)

    def _enter(self, headers: Headers) -> Response:
        """Set the cookie and go on to the address without the token; the browser keeps the hash."""
        # A strict cookie is not sent along a redirect that began on another site (a link in a
        # chat); a page of our own that moves on by itself does not have that history.
        if headers.get("sec-fetch-site") == "cross-site":
            response: Response = HTMLResponse(_ENTER_PAGE)
        else:
            response = RedirectResponse("/", status_code=303)
        response.set_cookie(
            self._door.cookie, self._door.token or "", httponly=True, samesite="strict", path="/"
        )
        response.headers["Cache-Control"] = "no-store"
        return response


def error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """An answer that says what was wrong and what to do."""
    return JSONResponse({"error": message}, status_code=status, headers=headers)


def _wrong_method(scope: Scope, headers: Headers) -> Response | None:
    method = scope["method"]
    if method not in {"GET", "POST"}:
        return error(405, "Only GET and POST are understood here.", {"Allow": "GET, POST"})
    if method == "POST":
        # A form of another site can post text, but not this type without asking first.
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return error(415, "A POST needs the header `Content-Type: application/json`.")
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return error(403, "Requests from other sites are not answered.")
    return None


def _locked(headers: Headers) -> Response:
    challenge = {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"}
    if "text/html" in headers.get("accept", ""):
        return HTMLResponse(_LOCKED_PAGE, status_code=401, headers=challenge)
    return error(401, _ASK, challenge)


def _tokens_of_query(scope: Scope) -> list[str]:
    query = scope.get("query_string", b"").decode("latin-1")
    return parse_qs(query, keep_blank_values=True).get("token", [])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _equal(secret: str, candidate: str) -> bool:
    return hmac.compare_digest(secret.encode(), candidate.encode(errors="replace"))
