"""The viewer's server: for this machine, for its own page, and for who knows the address that the command prints.

A request must name the server as its host, come from no other page, and know the secret in the address, which other
users of the machine do not. Files are taken up to a size, and everything that decodes or predicts is done one after the
other. Errors that a user can mend are JSON of one line; of any other the traceback is on the terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from matplotlib import colormaps
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from depth_model.errors import UserError
from depth_model.shown import printable
from tasks.commands.inputs import PICTURES, VIDEOS, by_option
from tasks.commands.predict import FARTHEST
from tasks.commands.results import COLORS
from tasks.commands.shared import HOST, received
from tasks.tracking.named_models import known_models
from tasks.viewer.session import RESULTS, Asked, Gone, Session

PAGE = Path(__file__).with_name("page")
ASSETS = ("icon.svg", "viewer.css", "viewer.js", "panel.js", "cloud.js")
JSON_BYTES = 10_000
FIELD_OF_VIEW = 60.0
"""Degrees across, taken where the camera is not known."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def application(session: Session, port: int, secret: str) -> Starlette:
    """Return the viewer over `session`, at `/<secret>/` of `port` of this machine."""
    routes = [
        Route("/", _page),
        *(Route(f"/{name}", _page) for name in ASSETS),
        Route("/api/start", _start),
        Route("/api/models", _models),
        Route("/api/files", _take, methods=["POST"]),
        Route("/api/files/{file}/picture.jpg", _picture),
        Route("/api/depth", _depth, methods=["POST"]),
        Route("/api/depth/{depth}/{kind}", _result),
        Route("/api/clip", _clip, methods=["POST"]),
        Route("/api/clip/done", _clip_done),
        Route("/api/clip/stop", _clip_stop, methods=["POST"]),
        Route("/api/clip/{clip}/depth.mp4", _clip_video),
    ]
    faults = dict.fromkeys((UserError, OSError, HTTPException, ClientDisconnect, Exception), _fault)
    guard = Middleware(_Guard, names={f"{name}:{port}" for name in (HOST, "localhost")})
    made = Starlette(routes=[Mount(f"/{secret}", routes=routes)], middleware=[guard], exception_handlers=faults)
    made.state.session, made.state.alone = session, CapacityLimiter(1)
    return made


class _Guard:
    """Refuses requests from elsewhere, and tells the browser what the page may do."""

    def __init__(self, app: ASGIApp, names: set[str]) -> None:
        self.app, self.names, self.origins = app, names, {f"http://{name}" for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        foreign = scope["type"] == "http" and self._foreign(Headers(scope=scope))
        answer = JSONResponse({"error": foreign}, 403) if foreign else self.app
        await answer(scope, receive, sent)

    def _foreign(self, headers: Headers) -> str:
        """Return what is wrong with where a request comes from, nothing if it is the page of this server."""
        if not set(headers.getlist("host")) <= self.names or len(headers.getlist("host")) != 1:
            return "this server has another name"
        if not set(headers.getlist("origin")) <= self.origins:
            return "other pages may not ask this server"
        if not set(headers.getlist("sec-fetch-site")) <= {"same-origin", "none"}:
            return "other pages may not ask this server: open the address that the command printed"
        return ""


async def _page(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    return FileResponse(PAGE / (name or "index.html"))


async def _start(request: Request) -> Response:
    given = _session(request).given
    colors = (colormaps[COLORS](range(256))[:, :3] * 255).round().astype(int)
    return JSONResponse(
        {
            "accept": ",".join((*PICTURES, *VIDEOS)),
            "colors": colors.tolist(),
            "farthest": FARTHEST,
            "field_of_view": FIELD_OF_VIEW,
            "largest": given.largest,
            "model": given.model or "",
            "short_side": given.short_side,
        }
    )


async def _models(request: Request) -> Response:
    return JSONResponse(await _done(request, known_models))


async def _take(request: Request) -> Response:
    session, name = _session(request), request.query_params.get("name", "")
    path = session.new_path(name)
    try:
        with path.open("xb") as file:
            async for part in received(request, session.given.largest):
                file.write(part)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return JSONResponse(await _done(request, session.add, path))


async def _picture(request: Request) -> Response:
    file, frame = request.path_params["file"], int(_number(request, "frame", 0, 0))
    content = await _done(request, _session(request).jpeg, file, frame)
    return Response(content, media_type="image/jpeg")


async def _depth(request: Request) -> Response:
    return JSONResponse(await _done(request, _session(request).depth, await _asked(request)))


async def _clip(request: Request) -> Response:
    return JSONResponse(await _done(request, _session(request).clip, await _asked(request)))


async def _clip_done(request: Request) -> Response:
    return JSONResponse(_session(request).done)


async def _clip_stop(request: Request) -> Response:
    _session(request).stopped = True
    return JSONResponse(True)


async def _clip_video(request: Request) -> Response:
    return FileResponse(_session(request).clip_path(request.path_params["clip"]), media_type="video/mp4")


async def _asked(request: Request) -> Asked:
    """Return what the body of a request asks for; raises UserError for what cannot be."""
    body = b"".join([part async for part in received(request, JSON_BYTES)])
    try:
        return Asked.model_validate_json(body)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, one['loc'])) or 'request'}: {one['msg']}" for one in error.errors())
        raise UserError("; ".join(faults)) from error


async def _result(request: Request) -> Response:
    depth, kind = request.path_params["depth"], request.path_params["kind"]
    if kind not in RESULTS:
        raise Gone(f"there is no such file; there are {', '.join(RESULTS)}")
    view = _number(request, "field_of_view", FIELD_OF_VIEW, 0.1, 179.9), _number(request, "farthest", FARTHEST, 1.001)
    step = int(_number(request, "step", 1, 1))
    content = await _done(request, _session(request).result, depth, kind, *view, step)
    return Response(content, media_type=RESULTS[kind])


def _session(request: Request) -> Session:
    return request.app.state.session


async def _done(request: Request, work: Callable[..., Any], *given: Any) -> Any:
    """Return what `work` does in a thread of its own, when nothing else is at work."""
    return await to_thread.run_sync(work, *given, limiter=request.app.state.alone)


def _number(request: Request, name: str, default: float, low: float, high: float = 1e6) -> float:
    """Return a number of the address; raises UserError unless it is in [low, high]."""
    text = request.query_params.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        raise UserError(f"{name}: must be a number from {low:g} to {high:g}")
    return value


async def _fault(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return _refused(error.status_code, error.detail)
    if isinstance(error, ClientDisconnect):  # nobody is there to read it
        return _refused(400, "cut off")
    if isinstance(error, OSError):
        return _refused(400, f"{error.filename or 'file'}: {error.strerror or error}")
    if not isinstance(error, UserError):
        return _refused(500, "a fault of the software: its traceback is on the terminal")
    said = by_option(str(error)).removeprefix("--model ")
    return _refused(404 if isinstance(error, Gone) else 400, said)


def _refused(status: int, said: str) -> Response:
    return JSONResponse({"error": printable("; ".join(said.splitlines()))}, status)
