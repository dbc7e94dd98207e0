"""What several subcommands take: the model by any of its names, and the side for the network."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from depth_model.errors import UserError, named
from tasks.settings import params
from tasks.tracking.registry import registered_folder

if TYPE_CHECKING:
    from depth_model.metric.heads.metric_depth import MetricDepth
    from depth_model.networks import DepthAnything

def load_model(
    name: str, blocks: list[int] | None = None, position_embedding: str | None = None
) -> DepthAnything:
    """Load a model by folder, official `.pth` file or registry name (`models:/depth-anything-student@champion`).

    `blocks` and `position_embedding` say what a bare file cannot. Raises UserError for a name that leads nowhere or
    to a file that is no such model, and for blocks that the model does not have.
    """
    from depth_model.networks import DepthAnything

    folder = Path(model_folder(name))
    if not folder.exists():
        raise UserError(f"--model {name}: there is no such file or folder")
    with named(f"--model {name}", ValueError):
        return DepthAnything.load(folder, blocks, position_embedding)


def load_metric_model(name: str, maximum: float | None = None) -> MetricDepth:
    """Load a metric model by folder, released `.pt` file or registry name; `maximum` is the range of a bare file.

    Raises UserError for a name that leads nowhere or to another model, and for a bare file without its range.
    """
    from depth_model.metric.heads.metric_depth import MetricDepth

    try:
        return MetricDepth.load(model_folder(name), maximum)
    except (UserError, ValueError) as error:
        hint = " (--maximum)" if maximum is None and isinstance(error, ValueError) else ""
        raise UserError(f"--model {name}: {error}{hint}") from error


def model_folder(name: str) -> str:
    """Return `name`, or the folder of a model of the registry (`models:/NAME@ALIAS`); raises UserError for none."""
    return str(registered_folder(name)) if name.startswith("models:/") else name


def model_arguments() -> argparse.ArgumentParser:
    """Return the arguments of every command that runs a model, as a parent parser."""
    arguments = argparse.ArgumentParser(add_help=False)
    arguments.add_argument("--model", required=True, help="a model folder, an official .pth, or models:/NAME@ALIAS")
    arguments.add_argument("--short-side", type=side, default=518, help="shorter side for the network (default: 518)")
    return arguments


def side(text: str) -> int:
    """Return the side of a network's input in pixels that `text` gives."""
    value = int(text)
    if value <= 0 or (value % 14 and value % 16):
        raise argparse.ArgumentTypeError(f"{text}: must be a positive multiple of 14 (16 for a DINOv3 encoder)")
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
