"""`depth-anything convert`: a model in the format of another program."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model.errors import UserError, named
from tasks.commands.outputs import add_out
from tasks.commands.shared import load_model, named_model, positive, purpose, version_argument
from tasks.tracking.named_models import MODEL_NAMES

if TYPE_CHECKING:
    from depth_model.interchange.export import AnyModel

RELATIVE, METRIC, SEGMENTATION = "relative", "metric", "segmentation"
OF_ONNX = ("opset", "precision", "check", "tolerance")
"""Options for --to onnx alone."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("convert", help="a model in another format", description=purpose(convert))
    one.add_argument("model", help=MODEL_NAMES)
    one.add_argument("--to", required=True, choices=list(FORMATS), help="folder is what transformers loads as it is")
    add_out(one, "the file, or the folder, to write", "model", "check")
    one.add_argument("--blocks", type=int, nargs=4, help="encoder blocks a bare file was trained with (0-based)")
    one.add_argument("--position-embedding", choices=["official", "exact"], help="how its table is resized")
    one.add_argument("--maximum", type=float, help="meters a metric file is for whose name does not say it")
    version_argument(one)
    onnx = one.add_argument_group("with --to onnx", "--size also with --to torch-export")
    onnx.add_argument("--opset", type=int, choices=range(18, 24), help="of the file (default: 18)")
    onnx.add_argument("--precision", choices=["fp32", "fp16"], help="inside the file (default: fp32)")
    onnx.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="for one image of so many pixels (default: any batch, any size)",
    )
    onnx.add_argument(
        "--check", nargs="+", metavar="PICTURE", help="pictures to compare with torch on (default: noise)"
    )
    onnx.add_argument("--tolerance", type=positive, help="largest difference, as a share of the range, that is kept")
    one.set_defaults(run=convert)


def convert(given: argparse.Namespace) -> None:
    """Write a model as transformers folder, official .pth, ONNX or torch.export program.

    The input is recognized by its content. An ONNX file is compared with torch, and is not kept when it differs. Raises
    UserError for an input that is no model, and for a kind of model that the format is not for.
    """
    found = named_model(given.model)
    model, kind = _loaded(given, found.path)
    chosen = FORMATS[given.to]
    if kind not in chosen.kinds:
        formats = ", ".join(name for name, one in FORMATS.items() if kind in one.kinds)
        raise UserError(f"--to {given.to}: is for {' and '.join(chosen.kinds)} models, a {kind} one goes to {formats}")
    unused = [name for name in OF_ONNX if given.to != "onnx" and getattr(given, name) is not None]
    unused += ["size"] if given.size and given.to not in ("onnx", "torch-export") else []
    if unused:
        raise UserError(f"--{unused[0]}: is not for --to {given.to}")
    print(chosen.write(model, given, found.origin))


def _loaded(given: argparse.Namespace, path: Path) -> tuple[AnyModel, str]:
    from depth_model.metric.heads.metric_depth import MetricDepth
    from depth_model.semantic.heads.segmentation import Segmentation, is_segmentation

    if is_segmentation(path):
        with named(f"--model {given.model}"):
            return Segmentation.load(path), SEGMENTATION
    model = load_model(given.model, given.version, given.maximum, given.blocks, given.position_embedding)
    return model, METRIC if isinstance(model, MetricDepth) else RELATIVE


def _folder(model: AnyModel, given: argparse.Namespace, origin: str) -> str:
    model.save(given.out)
    return f"{given.out}: for transformers and for --model"


def _official(model: Any, given: argparse.Namespace, origin: str) -> str:
    from depth_model.interchange.export import export_official
    from depth_model.metric.heads.bins import MetricBins

    if isinstance(getattr(model, "head", None), MetricBins):
        model.export_released(given.out)
        return f"{given.out}: the released layout of metric bins"
    export_official(model, given.out)
    return f"{given.out}: official names, of which none says: {', '.join(_unsaid(model))}"


def _unsaid(model: Any) -> list[str]:
    """Return what no official file says of `model` and who reads it must, as options, or must know."""
    from depth_model.metric.heads.metric_depth import SHORT_SIDE, MetricDepth
    from depth_model.networks.variants import VARIANTS

    said = [f"--version {model.version} (a released name does)"]
    if isinstance(model, MetricDepth):
        said += [f"--maximum {model.maximum:g}"]
        said += [f"an input of {model.input_size} pixels"] if model.input_size != SHORT_SIDE else []
    usual = VARIANTS[model.encoder.size].out_indices("spread" if model.version == "v2" else "last")
    if tuple(model.blocks) != usual:
        said += [f"--blocks {' '.join(map(str, model.blocks))}"]
    if model.encoder.position_embedding != "official":
        said += [f"--position-embedding {model.encoder.position_embedding}"]
    return said


def _onnx(model: AnyModel, given: argparse.Namespace, origin: str) -> str:
    from depth_model.interchange import onnx_file

    size = _size(given.size, model.encoder.patch)
    options = onnx_file.OnnxOptions(given.opset or onnx_file.OPSET, given.precision or "fp32", size)
    images = (
        onnx_file.check_images(model, _pictures(given.check), size) if given.check else onnx_file.noise(model, size)
    )
    said = ""
    if options.precision == "fp16":
        largest, layer = onnx_file.check_range(model, images)
        said = f"; of the {onnx_file.LARGEST_HALF:.0f} that fp16 holds layer {layer} needs {largest:.3g}"
    onnx_file.export_onnx(model, given.out, options, {"source": origin})
    difference = onnx_file.onnx_difference(model, given.out, images)
    if not difference <= (given.tolerance or onnx_file.TOLERANCES[options.precision]):
        given.out.unlink()
        raise UserError(f"ONNX in onnxruntime differs from the model by {difference:.1e} of the range: not kept")
    on = f"{len(images)} pictures" if given.check else "an image of noise; --check takes your own"
    return f"{given.out}: onnxruntime differs from torch by at most {difference:.1e} of the range ({on}){said}"


def _size(given: list[int] | None, patch: int) -> tuple[int, int] | None:
    if given is None:
        return None
    if any(side <= 0 or side % patch for side in given):
        raise UserError(f"--size {given[0]} {given[1]}: both must be positive multiples of {patch} for this model")
    return given[0], given[1]


def _pictures(given: list[str]) -> list[Any]:
    from depth_model.prediction.predictor import rgb
    from tasks.commands.inputs import inputs, is_video

    with named("--check", OSError):
        found = [rgb(path) for path in inputs(given).values() if not is_video(path)]
    if not found:
        raise UserError(f"--check {given[0]}: no picture was found there")
    return found


def _torch_export(model: AnyModel, given: argparse.Namespace, origin: str) -> str:
    from depth_model.interchange.export import export_program

    export_program(model, given.out, _size(given.size, model.encoder.patch))
    return f"{given.out}: for torch.export.load"


@dataclass(frozen=True)
class Format:
    """What writes a model and says so, and for which kinds of models it is."""

    write: Callable[[Any, argparse.Namespace, str], str]
    kinds: tuple[str, ...]


FORMATS = {
    "folder": Format(_folder, (RELATIVE, METRIC, SEGMENTATION)),
    "official": Format(_official, (RELATIVE, METRIC)),
    "onnx": Format(_onnx, (RELATIVE, METRIC, SEGMENTATION)),
    "torch-export": Format(_torch_export, (RELATIVE, METRIC, SEGMENTATION)),
}
