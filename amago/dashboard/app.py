"""The dashboard as an ASGI application: routes, static files, errors."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from amago.dashboard import encoding
from amago.dashboard.api import Api
from amago.dashboard.files import OpenFile, headers_for
from amago.dashboard.library import Library
from amago.dashboard.requests import LARGEST_BODY, Body, RequestError
from amago.dashboard.security import Door, Guard, error

STATIC = Path(__file__).parent / "static"

_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""What the page consists of. Not from the system's list, which may call scripts plain text."""

_BODY_PATIENCE_S = 20.0
_CHUNK = 256 * 1024


def create_app(library: Library, door: Door) -> ASGIApp:
    """The application that shows the runs of `library` to whoever `door` lets in.

    While it runs, it keeps the library up to date in a thread, and closes it at the end.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        library.start()
        try:
            yield
        finally:
            await run_in_threadpool(library.close)

    app = Starlette(
        routes=_routes(Api(library)),
        exception_handlers={
            RequestError: _on_request_error,
            HTTPException: _on_http_exception,
            ClientDisconnect: _on_disconnect,
            Exception: _on_bug,
        },
        lifespan=lifespan,
    )
    return Guard(app, door)  # around everything, so that the answer to a bug is guarded too


def _routes(api: Api) -> list[BaseRoute]:
    # In memory: the page is some eighty small files, each of which would cost a thread otherwise.
    files = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in _static_files()}
    index = _page(files)

    async def runs(request: Request) -> Response:
        return await _answer(api.runs)

    async def changes(request: Request) -> Response:
        return await _answer(api.changes, request.query_params.get("since", ""))

    async def about_a_run(request: Request) -> Response:
        question = api.get.get(request.path_params["question"])
        if question is None:
            raise RequestError("There is no such page.", status=404)
        return await _answer(question, request.path_params["run"], request.query_params)

    async def about_chosen_runs(request: Request) -> Response:
        question = api.post.get(request.path_params["question"])
        if question is None:
            raise RequestError("There is no such page.", status=404)
        data = await _read_body(request)
        return await _answer(lambda: question(Body(data)))

    async def file(request: Request) -> Response:
        parameters = request.path_params
        opened = await run_in_threadpool(api.file, parameters["run"], parameters["path"])
        return StreamingResponse(_chunks(opened), headers=headers_for(opened))

    async def page(request: Request) -> Response:
        return HTMLResponse(index)

    async def static(request: Request) -> Response:
        path = request.path_params["path"]
        if path not in files:
            raise HTTPException(404)
        return Response(files[path], media_type=_TYPES.get(Path(path).suffix))

    return [
        Route("/", page, methods=["GET"]),
        Route("/api/runs", runs, methods=["GET"]),
        Route("/api/changes", changes, methods=["GET"]),
        Route("/api/runs/{run}/file/{path:path}", file, methods=["GET"]),
        Route("/api/runs/{run}/{question}", about_a_run, methods=["GET"]),
        Route("/api/{question}", about_chosen_runs, methods=["POST"]),
        Route("/static/{path:path}", static, methods=["GET"]),
    ]


def _static_files() -> Iterator[Path]:
    return (path for path in STATIC.rglob("*") if path.suffix in _TYPES)


def _page(files: Mapping[str, bytes]) -> str:
    """index.html, with the names of all modules: a browser then fetches them side by side, and not
    each when it has read the one that imports it.
    """
    modules = sorted(name for name in files if name.startswith("js/"))
    links = [f'<link rel="modulepreload" href="/static/{module}">' for module in modules]
    return files["index.html"].decode().replace("</head>", "".join(links) + "</head>")


async def _answer(question: Callable[..., Any], *arguments: Any) -> Response:
    """Ask in a thread, and encode there too: both may take a while."""
    work = functools.partial(question, *arguments)
    data = await run_in_threadpool(lambda: encoding.dumps(work()))
    return Response(data, media_type="application/json", headers={"Cache-Control": "no-store"})


async def _read_body(request: Request) -> bytes:
    """The body, unless it is too large (413) or too slow (408)."""
    data = bytearray()
    try:
        async with asyncio.timeout(_BODY_PATIENCE_S):
            async for chunk in request.stream():
                data += chunk
                if len(data) > LARGEST_BODY:
                    raise RequestError(
                        f"The body of a request may have {LARGEST_BODY} bytes.", status=413
                    )
    except TimeoutError:
        raise RequestError("The request took too long to arrive.", status=408) from None
    return bytes(data)


async def _chunks(opened: OpenFile) -> AsyncIterator[bytes]:
    """Exactly as many bytes as the file had when it was opened: it may be growing."""
    left = opened.size
    with opened.stream as stream:
        while left > 0:
            chunk = await run_in_threadpool(stream.read, min(_CHUNK, left))
            if not chunk:
                return
            left -= len(chunk)
            yield chunk


async def _on_request_error(request: Request, problem: Exception) -> Response:
    status = problem.status if isinstance(problem, RequestError) else 400
    return error(status, str(problem))


async def _on_http_exception(request: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 400
    return error(status, "There is no such page." if status == 404 else str(problem))


async def _on_disconnect(request: Request, problem: Exception) -> Response:
    return error(400, "The client went away.")


async def _on_bug(request: Request, problem: Exception) -> Response:
    return error(500, f"The dashboard failed ({type(problem).__name__}); its terminal says where.")
