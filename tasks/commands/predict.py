"""`depth-anything predict`: depth of pictures, as files that people and programs open."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from depth_model.errors import UserError
from tasks.commands import predict_video
from tasks.commands.calibrate import verdict
from tasks.commands.inputs import PICTURES, VIDEOS, decode_budget_argument, each, inputs, is_video
from tasks.commands.outputs import add_out, check_free
from tasks.commands.results import COLORS, WRITTEN, write_metric_results, write_results
from tasks.commands.shared import load_model, model_arguments, model_path, positive, purpose

if TYPE_CHECKING:
    import numpy as np

    from depth_model.interchange.openvino_runtime import OpenVinoModel
    from depth_model.networks import DepthAnything
    from depth_model.prediction.calibration import Calibration

FARTHEST = 10.0
DEFAULTS = ("official", "fp32", "torch")
"""Of --preprocessing, --precision and --runtime."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser(
        "predict", parents=[model_arguments()], help="depth of pictures", description=purpose(predict)
    )
    one.add_argument("pictures", nargs="+", help="pictures, videos, folders of them, or quoted patterns")
    add_out(one, "folder for the results", "pictures", "model")
    one.add_argument("--flip-averaging", action="store_true", help="mean with the mirrored image, twice the time")
    one.add_argument(
        "--preprocessing",
        choices=["official", "transformers"],
        default="official",
        help="how images are resized: as the authors do (default), or as a transformers pipeline does",
    )
    one.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        default="fp32",
        help="bf16 is faster where the hardware has bfloat16, and a little less exact (default: fp32)",
    )
    one.add_argument(
        "--runtime",
        choices=["torch", "openvino"],
        default="torch",
        help="openvino compiles the model for the CPU first: worth it for many pictures (default: torch)",
    )
    one.add_argument("--tile", type=_pixels, help="of larger pictures, add the detail of tiles of so many pixels")
    one.add_argument("--colors", type=_color_map, default=COLORS, help=f"matplotlib's color map (default: {COLORS})")
    one.add_argument("--side-by-side", action="store_true", help="colored PNG with the picture to its left")
    one.add_argument(
        "--field-of-view", type=_within(0, 180), help="horizontal angle in degrees: write a point cloud (.ply) too"
    )
    one.add_argument(
        "--intrinsics",
        type=_within(0, float("inf")),
        nargs=4,
        metavar=("FX", "FY", "CX", "CY"),
        help="of the camera, in pixels of the picture: write a point cloud (.ply) with them",
    )
    one.add_argument(
        "--maximum", type=_within(0, float("inf")), help="meters a metric file is for whose name does not say it"
    )
    one.add_argument(
        "--farthest",
        type=_within(1, float("inf")),
        default=FARTHEST,
        help=f"depth of the farthest point of a cloud, that of the nearest being 1 (default: {FARTHEST:g})",
    )
    decode_budget_argument(one)
    one.add_argument("--frames", action="store_true", help="of a video, also the results of every frame")
    one.add_argument("--focal", type=positive, help="of the camera in pixels, for a model calibrated with another one")
    one.add_argument("--no-calibration", action="store_true", help="what the model says, not the meters of calibrate")
    one.set_defaults(run=predict)


def predict(given: argparse.Namespace) -> None:
    """Write for every picture a 16-bit gray PNG (disparity from its least to its largest, brighter is nearer), a
    colored PNG and the disparity itself as float32 .npy; with a field of view or intrinsics also a colored point cloud,
    .ply. Of a metric or calibrated model the .npy holds meters and the gray PNG millimeters. A video gives a video of
    its depth at one scale, and with --frames all this of every frame.

    Raises UserError at the end for what failed.
    """
    from depth_model.prediction.predictor import rgb

    found = inputs(given.pictures)
    if not found:
        raise UserError(f"no picture or video ({', '.join(PICTURES + VIDEOS)}) was found in what you named")
    check_free(given.out, (place for place, path in found.items() if not is_video(path)), WRITTEN)
    check_free(given.out, (place for place, path in found.items() if is_video(path)), predict_video.WRITTEN)
    predictor, metric = _predictor(given)
    write = write_metric_results if metric else write_results

    def work(place: Path, path: Path) -> None:
        if is_video(path):
            predict_video.predict_video(path, given.out / place, predictor, write, metric, given)
        else:  # The suffix stays in the name: a.jpg and a.png are two pictures.
            image = rgb(path)
            write(predictor(image), image, given.out / place, given)

    each("predict", found, given.decode_budget, work)
    print(f"{len(found)} files: {os.path.relpath(given.out)}", file=sys.stderr)


def _predictor(given: argparse.Namespace) -> tuple[predict_video.Predict, bool]:
    """Return what predicts one image, and whether it gives meters: a metric model, or a calibrated one."""
    from depth_model.prediction.calibration import read_calibration

    path = model_path(given.model)
    calibration = None if given.no_calibration else read_calibration(path)
    if given.focal is not None and calibration is None:
        raise UserError(f"--focal: {given.model} has no calibration for another camera; see depth-anything calibrate")
    predictor, metric = _uncalibrated(given, path)
    if calibration is None:
        return predictor, metric
    print(f"calibrated: {verdict(calibration)}; --no-calibration leaves it out", file=sys.stderr)
    if calibration.short_side != given.short_side:
        raise UserError(f"--short-side {given.short_side}: the calibration is for {calibration.short_side}")

    def meters(image: np.ndarray) -> np.ndarray:
        return calibration.meters(predictor(image), _focal(given, image, calibration))

    return meters, True


def _focal(given: argparse.Namespace, image: np.ndarray, calibration: Calibration) -> float | None:
    """Return the focal length in shorter sides of `image`, None to take the camera for that of the calibration."""
    from depth_model.media.point_cloud import camera

    pixels = given.focal
    if pixels is None and calibration.focal is not None:
        if given.intrinsics is not None:
            pixels = given.intrinsics[0]
        elif given.field_of_view is not None:
            pixels = camera(given.field_of_view, *image.shape[:2])[0]
    return None if pixels is None else pixels / min(image.shape[:2])


def _uncalibrated(given: argparse.Namespace, path: Path) -> tuple[predict_video.Predict, bool]:
    from depth_model.metric.heads.metric_depth import MetricDepth
    from depth_model.metric.prediction.predictor import MetricPredictor
    from depth_model.networks.device import inference_device
    from depth_model.prediction.predictor import DepthPredictor

    model = load_model(str(path), given.version, given.maximum)
    model = model.to("cpu" if given.runtime == "openvino" else inference_device())
    try:
        if isinstance(model, MetricDepth):
            if given.tile is not None or (given.preprocessing, given.precision, given.runtime) != DEFAULTS:
                raise UserError("--tile, --preprocessing, --precision and --runtime are for relative models only")
            return MetricPredictor(model, flip_averaging=given.flip_averaging, short_side=given.short_side), True
        options = {name: getattr(given, name) for name in ("flip_averaging", "preprocessing", "tile", "precision")}
        compiled = _compiled(model, given.precision) if given.runtime == "openvino" else None
        return DepthPredictor(model, given.short_side, compiled=compiled, **options), False
    except (ValueError, UserError) as error:
        raise UserError(f"--model {given.model}: {error}") from error


def _compiled(model: DepthAnything, precision: Literal["fp32", "bf16"]) -> OpenVinoModel:
    from depth_model.interchange.openvino_runtime import OpenVinoModel

    return OpenVinoModel(model.eval(), precision)


def _color_map(name: str) -> str:
    from difflib import get_close_matches

    from matplotlib import colormaps

    if name not in colormaps:
        near = get_close_matches(name, list(colormaps), n=3) or [COLORS]
        raise argparse.ArgumentTypeError(f"{name}: matplotlib has no such color map; perhaps {', '.join(near)}")
    return name


def _within(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not low < value < high:
            raise argparse.ArgumentTypeError(f"{text}: must be above {low:g} and below {high:g}")
        return value

    return number


def _pixels(text: str) -> int:
    value = int(text)
    if value < 14:
        raise argparse.ArgumentTypeError(f"{text}: a tile has at least 14 pixels")
    return value
