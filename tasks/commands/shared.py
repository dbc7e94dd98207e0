"""What several subcommands take: the model by any of its names, and the side for the network."""

from __future__ import annotations

import argparse
import math
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml

from depth_model.errors import BadInput, UserError
from depth_model.networks.variants import PATCHES, Version
from tasks.settings import params
from tasks.tracking.named_models import MODEL_NAMES, NamedModel, find_model

HOST = "127.0.0.1"
"""Where servers of ours listen: on this machine alone."""

if TYPE_CHECKING:
    from starlette.requests import Request

    from depth_model.metric.heads.metric_depth import MetricDepth
    from depth_model.networks import DepthAnything


def load_model(
    name: str,
    version: Version | None = None,
    maximum: float | None = None,
    blocks: list[int] | None = None,
    position_embedding: str | None = None,
) -> DepthAnything | MetricDepth:
    """Load a model, relative or metric, by any name that `find_model` knows; a hub's revision is told on stderr.

    What a bare file cannot say: its `version`, the `maximum` of a metric one in meters, `blocks` and
    `position_embedding` of a relative one. Raises UserError for a name that leads nowhere or to a file that is no such
    model, and for blocks that the model does not have.
    """
    from depth_model.metric.heads.metric_depth import load_depth

    path = model_path(name)
    try:
        return load_depth(path, version, maximum, blocks, position_embedding)
    except (ValueError, UserError) as error:
        hint = " (--maximum)" if "largest depth it is for" in str(error) else ""
        raise UserError(f"--model {name}: {error}{hint}") from error


def model_path(name: str) -> Path:
    """Return where the model called `name` is (see `find_model`); the revision of a hub is told on stderr."""
    found = named_model(name)
    if found.origin != name:
        print(f"model: {found.origin}", file=sys.stderr)
    return found.path


def named_model(name: str) -> NamedModel:
    """Return what `find_model` finds; raises UserError that says which option is wrong."""
    try:
        return find_model(name)
    except UserError as error:  # which begins with the name
        raise UserError(f"--model {error}") from error


def positive(text: str) -> float:
    """Return the positive number that `text` gives."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: must be a positive number")
    return value


def listening(port: int) -> socket.socket:
    """Return a socket bound to `port` of this machine alone, to any free one for 0.

    Raises BadInput when something else listens there.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except (OSError, OverflowError) as error:
        bound.close()
        why = f"{error.strerror}; another program listens there" if isinstance(error, OSError) else error
        raise BadInput(f"--port {port}: {why}") from error
    return bound


async def received(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yield the body of a request; it is cut off with status 413 when it grows beyond `most` bytes."""
    from starlette.exceptions import HTTPException

    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"is larger than {most} bytes (--largest)")
        yield part


def model_arguments(required: bool = True) -> argparse.ArgumentParser:
    """Return the arguments of every command that runs a model, as a parent parser."""
    arguments = argparse.ArgumentParser(add_help=False)
    arguments.add_argument("--model", required=required, help=MODEL_NAMES)
    arguments.add_argument("--short-side", type=side, default=518, help="shorter side for the network (default: 518)")
    version_argument(arguments)
    return arguments


def version_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option --version, for files that do not say theirs."""
    parser.add_argument(
        "--version", choices=get_args(Version), help="Depth Anything that a file of another name is of: first or second"
    )


def side(text: str) -> int:
    """Return the side of a network's input in pixels that `text` gives."""
    value = int(text)
    if value <= 0 or all(value % patch for patch in PATCHES):
        raise argparse.ArgumentTypeError(
            f"{text}: must be a positive multiple of {PATCHES[0]} ({PATCHES[1]} for a DINOv3 encoder)"
        )
    return value


def purpose(command: Callable[[argparse.Namespace], None]) -> str:
    """Return the first paragraph of the docstring of `command`, which its --help shows."""
    return str(command.__doc__).partition("\n\n")[0]


def checked_source(reader: str, root: str | None, options: dict[str, object]) -> params.Source:
    """Return the source that a command line describes; raises UserError for a wrong reader or option."""
    from pydantic import ValidationError

    try:
        source = params.Source(reader=reader, root=root, options=options)
        source.chosen_options()
    except ValidationError as error:
        faults = [(".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in error.errors()]
        raise UserError("\n".join(f"{where}: {what}" if where else what for where, what in faults)) from error
    except ValueError as error:
        raise UserError(str(error)) from error
    return source


def key_value(text: str) -> tuple[str, str]:
    """Return the two sides of KEY=VALUE, raises ArgumentTypeError for other text."""
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text}: must be KEY=VALUE")
    return key, value


def value_of(text: str) -> Any:
    """Return the value that `text` is in YAML, or `text` itself where it is none (`*.png`)."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
