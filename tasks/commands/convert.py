"""`depth-anything convert`: a model in the format of another program."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model.errors import UserError
from tasks.commands.outputs import add_out
from tasks.commands.shared import load_model, purpose, version_argument
from tasks.tracking.named_models import MODEL_NAMES

if TYPE_CHECKING:
    from depth_model.metric.heads.metric_depth import MetricDepth
    from depth_model.networks import DepthAnything

TOLERANCE = 1e-4
"""Largest difference between a model and its ONNX file, as a share of the range of the disparity."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("convert", help="a model in another format", description=purpose(convert))
    one.add_argument("model", help=MODEL_NAMES)
    one.add_argument("--to", required=True, choices=list(FORMATS), help="folder is what transformers loads as it is")
    add_out(one, "the file, or the folder, to write", "model")
    one.add_argument("--blocks", type=int, nargs=4, help="encoder blocks a bare file was trained with (0-based)")
    one.add_argument("--position-embedding", choices=["official", "exact"], help="how its table is resized")
    one.add_argument("--maximum", type=float, help="meters a metric file is for whose name does not say it")
    version_argument(one)
    one.set_defaults(run=convert)


def convert(given: argparse.Namespace) -> None:
    """Write a model as transformers folder, official .pth, ONNX or torch.export program.

    The input is recognized by its content. Raises UserError for an input that is no model.
    """
    from depth_model.metric.heads.metric_depth import MetricDepth

    model = load_model(given.model, given.version, given.maximum, given.blocks, given.position_embedding)
    if isinstance(model, MetricDepth) and given.to not in METRIC_FORMATS.split():
        raise UserError(f"--to {given.to}: is for relative models, a metric one goes to {METRIC_FORMATS}")
    print(FORMATS[given.to](model, given.out))


def _folder(model: DepthAnything | MetricDepth, out: Path) -> str:
    model.save(out)
    return f"{out}: for transformers and for --model"


def _official(model: DepthAnything | MetricDepth, out: Path) -> str:
    from depth_model.interchange.export import export_official
    from depth_model.metric.heads.bins import MetricBins

    if isinstance(getattr(model, "head", None), MetricBins):
        model.export_released(out)
        return f"{out}: the released layout of metric bins"
    export_official(model, out)
    return f"{out}: official names; say --version {model.version} of such a file, unless its name does"


def _onnx(model: DepthAnything, out: Path) -> str:
    from depth_model.interchange.export import export_onnx, onnx_difference

    export_onnx(model, out)
    difference = onnx_difference(model, out)
    if difference > TOLERANCE:
        out.unlink()
        raise UserError(f"ONNX in onnxruntime differs from the model by {difference:.1e} of the range: not kept")
    return f"{out}: onnxruntime differs by {difference:.1e} of the range"


def _torch_export(model: DepthAnything, out: Path) -> str:
    from depth_model.interchange.export import export_program

    export_program(model, out)
    return f"{out}: for torch.export.load"


FORMATS: dict[str, Callable[[DepthAnything, Path], str]] = {
    "folder": _folder,
    "official": _official,
    "onnx": _onnx,
    "torch-export": _torch_export,
}
METRIC_FORMATS = "folder or official"
