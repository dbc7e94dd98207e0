"""`depth-anything serve`: a registered model over HTTP, as `mlflow models serve` answers, with limits.

Answers with MLflow's own code, so both give the same. What this adds: no code out of the registry is run, a body has a
largest size, an image a budget and a request a number of images, all is checked before anything is decoded, requests
are answered one after the other, and whatever is refused is JSON of one line, `{"error": ...}`. It listens on this
machine alone: for others, put a proxy with TLS and a login before it.
"""

from __future__ import annotations

import argparse
import base64
import binascii
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import BadInput
from depth_model.shown import printable
from tasks.commands.inputs import by_option, decode_budget_argument, size
from tasks.commands.shared import HOST, listening, purpose, received

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PORT, LARGEST, BUDGET, IMAGES = 5001, "32MB", "75MB", 8
WAITING = 32
"""Requests that wait at most; more are answered with status 503."""
SECONDS = 30.0
"""For a body to arrive."""
JSON = "application/json"
RECORDS, SPLIT = "dataframe_records", "dataframe_split"
FORM = f'must be {{"{RECORDS}": [{{"image": "<base64>"}}, ...]}}, or the same as "{SPLIT}"'


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("serve", help="a model of the registry over HTTP", description=purpose(serve))
    one.add_argument(
        "--model", required=True, metavar="models:/NAME@ALIAS", help="of the registry, or models:/NAME/VERSION"
    )
    one.add_argument("--port", type=int, default=PORT, help=f"0 takes a free one (default: {PORT})")
    one.add_argument("--largest", type=size, default=LARGEST, metavar="SIZE", help=f"of a request (default: {LARGEST})")
    one.add_argument("--images", type=int, default=IMAGES, help=f"in one request at most (default: {IMAGES})")
    decode_budget_argument(one, BUDGET)
    one.set_defaults(run=serve)


def serve(given: argparse.Namespace) -> None:
    """Answer POST /invocations with the depth of images in base64, as 'mlflow models serve' does, within limits and
    for this machine alone. Ends with Ctrl-C.

    Raises UserError when the registry has no such model, BadInput when something else listens at the port.
    """
    import uvicorn

    from depth_model.memory import keep_freed_memory
    from depth_model.shards import decoding
    from tasks.tracking.registry import registered_pyfunc

    keep_freed_memory()
    with listening(given.port) as bound, decoding.limited_to(given.decode_budget):
        served = application(registered_pyfunc(given.model), given.largest, given.images)
        settings = uvicorn.Config(
            served, log_level="error", access_log=False, ws="none", lifespan="off", limit_concurrency=WAITING
        )
        print(f"http://{HOST}:{bound.getsockname()[1]}/invocations", flush=True)
        uvicorn.Server(settings).run(sockets=[bound])


def application(model: PyFuncModel, largest: int, most: int) -> Starlette:
    """Return the server of `model`: bodies up to `largest` bytes, of up to `most` images."""
    from anyio import CapacityLimiter
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def ready(request: Request) -> Response:
        return PlainTextResponse("\n")

    routes = [Route("/invocations", _invocations, methods=["POST"]), Route("/ping", ready), Route("/health", ready)]
    guard = Middleware(
        TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]
    )  # a page under another name may not ask
    made = Starlette(routes=routes, middleware=[guard], exception_handlers={Exception: _fault, **_faults()})
    made.state.model, made.state.schema = model, model.metadata.get_input_schema()
    made.state.largest, made.state.most, made.state.alone = largest, most, CapacityLimiter(1)
    return made


async def _invocations(request: Request) -> Response:
    from anyio import fail_after, to_thread
    from starlette.exceptions import HTTPException
    from starlette.responses import Response

    state = request.app.state
    if request.headers.get("content-type", "").partition(";")[0].strip() != JSON:
        raise HTTPException(415, f"Content-Type must be {JSON}")
    with fail_after(SECONDS):
        body = b"".join([part async for part in received(request, state.largest)])
    answer = await to_thread.run_sync(_answer, body, state, limiter=state.alone)
    return Response(answer, media_type=JSON)


def _answer(body: bytes, state: Any) -> str:
    from mlflow.pyfunc.scoring_server import invocations

    check(body, state.most)
    return invocations(body, JSON, state.model, state.schema).response


def check(body: bytes, most: int) -> None:
    """Raise BadInput unless `body` is JSON of 1 to `most` images in base64, in a form that MLflow reads."""
    try:
        content = files.parsed_json(body)
    except ValueError as error:
        raise BadInput(f"no JSON: {error}") from error
    if not isinstance(content, dict) or content.keys() - {"params"} not in ({RECORDS}, {SPLIT}):
        raise BadInput(FORM)
    if not isinstance(content.get("params", {}), dict):
        raise BadInput("params: must be names and values")
    images = _images(content)
    if not 1 <= len(images) <= most:
        raise BadInput(f"{len(images)} images: must be 1 to {most} (--images)")
    for row, image in enumerate(images):
        try:
            base64.b64decode("".join(image.split()), validate=True)
        except (AttributeError, ValueError, binascii.Error) as error:
            raise BadInput(f"image {row}: must be text in base64") from error


def _images(content: dict[str, Any]) -> list[Any]:
    try:
        if SPLIT in content:
            if content[SPLIT]["columns"] != ["image"]:
                raise BadInput(FORM)
            found = [dict(zip(["image"], row, strict=True)) for row in content[SPLIT]["data"]]
        else:
            found = content[RECORDS]
        if any(row.keys() != {"image"} for row in found):
            raise BadInput(FORM)
        return [row["image"] for row in found]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(FORM) from error


def _faults() -> dict[Any, Any]:
    from mlflow.exceptions import MlflowException
    from starlette.exceptions import HTTPException

    return dict.fromkeys((BadInput, HTTPException, MlflowException, TimeoutError), _fault)


async def _fault(request: Request, error: Exception) -> Response:
    """Answer in one line; of a fault that nobody foresaw the traceback is on the terminal."""
    from mlflow.exceptions import MlflowException
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse

    status, said = 500, "a fault of the software: its traceback is on the terminal"
    if isinstance(error, HTTPException):
        status, said = error.status_code, error.detail
    elif isinstance(error, TimeoutError):
        status, said = 408, f"the request did not arrive within {SECONDS:g} seconds"
    elif isinstance(error, BadInput):
        status, said = 400, str(error)
    elif isinstance(error, MlflowException) and "stack_trace" not in error.json_kwargs:
        status, said = error.get_http_status_code(), error.message.rpartition("\nError: ")[2]
    return JSONResponse({"error": by_option(printable(" ".join(said.split())))}, status)
