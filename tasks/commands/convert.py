"""`depth-anything convert`: a model in the format of another program."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model.errors import UserError
from tasks.commands.shared import load_model, purpose

if TYPE_CHECKING:
    from depth_model.networks import DepthAnything

TOLERANCE = 1e-4
"""Largest difference between a model and its ONNX file, as a share of the range of the disparity."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("convert", help="a model in another format", description=purpose(convert))
    one.add_argument("model", help="a model folder, an official .pth, or models:/NAME@ALIAS")
    one.add_argument("--to", required=True, choices=list(FORMATS), help="folder is what transformers loads as it is")
    one.add_argument("-o", "--out", type=Path, required=True, help="the file, or the folder, to write")
    one.add_argument("--blocks", type=int, nargs=4, help="encoder blocks a bare file was trained with (0-based)")
    one.add_argument("--position-embedding", choices=["official", "exact"], help="how its table is resized")
    one.set_defaults(run=convert)


def convert(given: argparse.Namespace) -> None:
    """Write a model as transformers folder, official .pth, ONNX or torch.export program.

    The input is recognised by its content. Raises UserError for an input that is no model.
    """
    model = load_model(given.model, given.blocks, given.position_embedding)
    print(FORMATS[given.to](model, given.out))


def _folder(model: DepthAnything, out: Path) -> str:
    model.save(out)
    return f"{out}: for transformers and for --model"


def _official(model: DepthAnything, out: Path) -> str:
    from depth_model.interchange.export import export_official

    export_official(model, out)
    return f"{out}: official names; blocks {model.blocks} and the position embedding are not in such a file"


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
