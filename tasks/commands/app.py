"""`depth-anything app`: the viewer, a page on this machine."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tasks.commands.inputs import decode_budget_argument, size
from tasks.commands.predictors import network_options
from tasks.commands.shared import HOST, listening, model_arguments, purpose

PORT = 7860
LARGEST = "500MB"
BUDGET = "300MB"
"""Of one picture: 100 megapixels."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser(
        "app", parents=[model_arguments(required=False)], help="depth in the browser", description=purpose(app)
    )
    network_options(one)
    one.add_argument("--port", type=int, default=PORT, help=f"of the page; 0 takes a free one (default: {PORT})")
    one.add_argument(
        "--largest", type=size, default=LARGEST, metavar="SIZE", help=f"of a file that is taken (default: {LARGEST})"
    )
    decode_budget_argument(one, BUDGET)
    one.set_defaults(run=app)


def app(given: argparse.Namespace) -> None:
    """Show the depth of pictures and videos in the browser, of any model or of two side by side: values under the
    pointer, a point cloud to turn, distances in meters, files to download. For this machine only, and for who knows the
    address that is printed; nothing is kept. Ends with Ctrl-C.

    Raises BadInput when something else listens at the port.
    """
    import uvicorn

    from depth_model.shards import decoding
    from tasks.viewer.server import application
    from tasks.viewer.session import Session

    with (
        listening(given.port) as bound,
        tempfile.TemporaryDirectory(prefix="depth-anything-") as folder,
        decoding.limited_to(given.decode_budget),
    ):
        port, secret = bound.getsockname()[1], secrets.token_urlsafe(12)
        served = application(Session(given, Path(folder)), port, secret)
        # No log of requests, whose addresses hold the secret.
        settings = uvicorn.Config(served, log_level="error", access_log=False, ws="none", lifespan="off")
        print(f"http://{HOST}:{port}/{secret}/", flush=True)
        print("open it in a browser; Ctrl-C ends it", file=sys.stderr)
        uvicorn.Server(settings).run(sockets=[bound])
