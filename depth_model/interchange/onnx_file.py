"""ONNX files of relative, metric and segmentation models, and what they give beside what torch gives.

Half precision is decided layer by layer as for `bfloat16_copy`; images come in and results go out as float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from depth_model import files
from depth_model.errors import UserError
from depth_model.interchange.export import AnyModel, exported
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD, network_size
from depth_model.prediction.precision import lower_copy
from depth_model.prediction.predictor import network_image
from depth_model.semantic.heads.segmentation import Segmentation

OPSET = 18
"""What torch writes without converting. In 23 attention is one operator, which runtimes before 2025 do not know."""
TOLERANCES = {"fp32": 1e-4, "fp16": 2e-2}
"""Largest difference to torch, as a share of the range of the result."""
LARGEST_HALF = float(np.finfo(np.float16).max)
SIDE = 37
"""Patches of the shorter side of images that a file is checked on, as the released models see them."""


@dataclass(frozen=True)
class OnnxOptions:
    """How a file is written: its opset; the precision inside; `size` (height, width) of the only image
    it is for, None for any batch and any size."""

    opset: int = OPSET
    precision: Literal["fp32", "fp16"] = "fp32"
    size: tuple[int, int] | None = None


def onnx_bytes(model: AnyModel, options: OnnxOptions = OnnxOptions(), notes: Mapping[str, str] | None = None) -> bytes:
    """Return an ONNX model: input `images` (batch, 3, height, width), float32 and normalized; output float32,
    `disparity` or `depth` (batch, height, width), or `scores` (batch, classes, height, width).

    What a program has to know stands in its metadata, with `notes`. Raises UserError without the package onnxscript and
    what `exported` raises.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError("ONNX export needs onnxscript: pip install 'open-depth-anything[export]'") from error
    model = lower_copy(model, torch.float16) if options.precision == "fp16" else model
    traced = exported(model, options.size)
    names = {"output_names": [output_name(model)], "opset_version": options.opset}
    proto = torch.onnx.export(traced, dynamo=True, verbose=False, **names).model_proto
    for name, value in (_metadata(model) | dict(notes or {})).items():
        proto.metadata_props.add(key=name, value=value)
    return proto.SerializeToString(deterministic=True)


def output_name(model: nn.Module) -> str:
    """Return the name of a model's result."""
    if isinstance(model, Segmentation):
        return "scores"
    return "depth" if isinstance(model, MetricDepth) else "disparity"


def _metadata(model: AnyModel) -> dict[str, str]:
    known: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "patch": model.encoder.patch}
    if isinstance(model, Segmentation):
        known |= {"classes": ",".join(model.classes.classes), "short_side": model.side}
    if isinstance(model, MetricDepth):
        known |= {"unit": "meters", "maximum": model.maximum, "input_size": model.input_size}
    return {name: str(value).strip("()") for name, value in known.items()}


def export_onnx(
    model: AnyModel, path: Path, options: OnnxOptions = OnnxOptions(), notes: Mapping[str, str] | None = None
) -> None:
    """Write what `onnx_bytes` returns, and raise what it raises."""
    files.write_bytes(path, onnx_bytes(model, options, notes))


def check_images(model: AnyModel, pictures: Iterable[np.ndarray], size: tuple[int, int] | None) -> list[Tensor]:
    """Return `pictures`, uint8 (H, W, 3), as `images` of one each, at `size` or as the released models see them."""
    patch = model.encoder.patch
    sizes = ((one, size or network_size(*one.shape[:2], SIDE * patch, patch)) for one in pictures)
    return [torch.from_numpy(network_image(one, shown))[None] for one, shown in sizes]


def noise(model: AnyModel, size: tuple[int, int] | None) -> list[Tensor]:
    """Return one image of seeded noise, at `size` or of 9 x 13 patches, for want of a picture."""
    height, width = size or (9 * model.encoder.patch, 13 * model.encoder.patch)
    return [torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))]


@torch.inference_mode()
def check_range(model: AnyModel, images: Iterable[Tensor]) -> tuple[float, str]:
    """Return the largest absolute value that a layer of `model` gives for `images`, and the layer.

    Raises UserError that names it when float16 does not hold it.
    """
    largest = (0.0, "")

    def look(name: str, output: Any) -> None:
        nonlocal largest
        if isinstance(output, Tensor) and output.is_floating_point():
            largest = max(largest, (float(output.abs().max()), name))

    layers = [(name, one) for name, one in model.named_modules() if not list(one.children())]
    hooks = [one.register_forward_hook(lambda _, __, out, name=name: look(name, out)) for name, one in layers]
    try:
        for one in images:
            model.eval()(one)
    finally:
        for hook in hooks:
            hook.remove()
    if not largest[0] < LARGEST_HALF:
        raise UserError(f"fp16 holds values to {LARGEST_HALF:.0f}, and layer {largest[1]} gives {largest[0]:.3g}")
    return largest


@torch.inference_mode()
def onnx_difference(model: AnyModel, path: Path, images: Iterable[Tensor] | None = None) -> float:
    """Return the largest difference between `model` and an ONNX file over `images`, as a share of the range of each.

    Infinite for a result that is not finite. Without images: `noise`. Raises UserError without the package onnxruntime.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("checking ONNX needs onnxruntime: pip install 'open-depth-anything[export]'") from error
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    model, worst = model.eval(), 0.0
    for one in noise(model, None) if images is None else images:
        found = session.run([output_name(model)], {"images": one.numpy()})[0]
        expected = model(one).numpy()
        share = np.abs(found - expected).max() / max(np.ptp(expected), np.finfo(np.float32).tiny)
        worst = max(worst, float(share) if np.isfinite(share) else np.inf)
    return worst
