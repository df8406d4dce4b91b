import asyncio

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from amago.dashboard.security import HEADERS, Door, Guard, allowed_hosts, is_loopback

TOKEN = "correct-horse-battery"
COOKIE = "amago_dashboard_8228"


async def answer(request):
    return PlainTextResponse(f"secret: {len(await request.body())}")


def guarded(**door):
    app = Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST", "PUT"])])
    door = {"token": TOKEN, "hosts": allowed_hosts("127.0.0.1"), "cookie": COOKIE} | door
    return Guard(app, Door(**door))


def ask(method="GET", path="/", *, app=None, host="127.0.0.1:8228", **arguments):
    """One request to the guarded application; no redirect is followed."""

    async def send():
        transport = httpx2.ASGITransport(app=app or guarded())
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, **arguments)

    return asyncio.run(send())


def raw(headers, method="GET", path="/"):
    """Status of a request with exactly these headers."""
    messages = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        messages.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(guarded()(scope, receive, send))
    return messages[0]["status"]


BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_without_the_token_nothing_is_answered():
    for path in ("/", "/api/runs", "/static/js/main.js", "/anything"):
        response = ask(path=path)
        assert response.status_code == 401
        assert "secret" not in response.text
        assert "amago dashboard" in response.json()["error"]


def test_a_browser_without_the_token_is_told_to_use_the_printed_address():
    response = ask(headers={"Accept": "text/html,*/*"})
    assert response.status_code == 401
    assert response.headers["content-type"].startswith("text/html")
    assert "?token=" in response.text


def test_the_printed_address_sets_a_cookie_and_leads_to_the_address_without_the_token():
    response = ask(path=f"/?token={TOKEN}")
    assert response.status_code == 303
    assert response.headers["location"] == "/"
    cookie = response.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={TOKEN};")
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert ask(headers={"Cookie": f"{COOKIE}={TOKEN}"}).status_code == 200


def test_a_link_on_another_site_leads_there_without_a_redirect_which_would_lose_the_cookie():
    response = ask(path=f"/?token={TOKEN}", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 200
    assert "secret" not in response.text
    assert "set-cookie" in response.headers


@pytest.mark.parametrize(
    "token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\N{SNOWMAN}"]
)
def test_a_wrong_token_opens_nothing(token):
    assert ask(path="/", params={"token": token}).status_code == 401
    assert ask(headers={"Cookie": f"{COOKIE}={token}".encode()}).status_code == 401
    assert ask(headers={"Authorization": f"Bearer {token}".encode()}).status_code == 401


def test_the_token_counts_in_the_address_of_the_page_only():
    assert ask(path=f"/api/runs?token={TOKEN}").status_code == 401


def test_the_cookie_of_a_dashboard_at_another_port_does_not_count():
    assert ask(headers={"Cookie": f"amago_dashboard_9000={TOKEN}"}).status_code == 401


def test_a_program_shows_the_token_in_a_header():
    assert ask(path="/api/runs", headers=BEARER).text == "secret: 0"
    assert ask(headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401


def test_without_a_token_to_ask_for_everybody_is_let_in():
    assert ask(app=guarded(token=None)).status_code == 200
    assert ask(path="/?token=x", app=guarded(token=None)).status_code == 200


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8228", "localhost:9000", "LOCALHOST", "[::1]:8228", "127.0.0.1"]
)
def test_names_of_this_machine_are_answered_at_any_port(host):
    assert raw([("host", host), *BEARER.items()]) == 401  # header names are lower case on the wire
    assert raw([("host", host), ("authorization", f"Bearer {TOKEN}")]) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8228", "8.8.8.8"),
        *("127.0.0.1@evil.example", "evil.example#127.0.0.1", "127.0.0.1:8228:1", "", "[::1"),
        *("127.0.0.1/", "localhost ", "xn--localhost"),
    ],
)
def test_another_host_name_is_refused_even_with_the_token(host):
    assert raw([("host", host), ("authorization", f"Bearer {TOKEN}")]) == 403


def test_a_request_names_its_host_exactly_once():
    assert raw([]) == 400
    assert raw([("host", "127.0.0.1"), ("host", "evil.example")]) == 400


def test_a_server_for_others_answers_to_addresses_and_its_own_names_only():
    app = guarded(hosts=allowed_hosts("0.0.0.0") | {"gpu7"}, any_address=True)
    for host in ("192.168.0.7:8228", "gpu7:8228", "localhost:8228"):
        assert ask(app=app, host=host, headers=BEARER).status_code == 200
    assert ask(app=app, host="evil.example", headers=BEARER).status_code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "HEAD"])
def test_only_get_and_post_are_understood(method):
    assert ask(method, headers=BEARER).status_code == 405


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_what_a_form_of_another_site_can_post_is_refused(kind):
    headers = BEARER if kind is None else BEARER | {"Content-Type": kind}
    assert ask("POST", content=b"{}", headers=headers).status_code == 415


def test_a_post_from_another_site_is_refused():
    headers = BEARER | {"Content-Type": "application/json"}
    assert ask("POST", content=b"{}", headers=headers).status_code == 200
    for site in ("cross-site", "same-site"):
        response = ask("POST", content=b"{}", headers=headers | {"Sec-Fetch-Site": site})
        assert response.status_code == 403


@pytest.mark.parametrize("path, headers", [("/", BEARER), ("/", {}), ("/?token=x", {})])
def test_every_answer_carries_the_headers_and_none_that_invites_other_sites(path, headers):
    response = ask(path=path, headers=headers | {"Origin": "http://evil.example"})
    for name, value in HEADERS.items():
        expected = {value, "no-store"} if name == "Cache-Control" else {value}
        assert response.headers[name] in expected
    assert not [name for name in response.headers if name.startswith("access-control")]
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_which_addresses_are_reachable_from_this_machine_only():
    assert all(map(is_loopback, ("127.0.0.1", "127.0.0.5", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.1", "gpu7")))
