"""How a model is run on pictures: the options of the command line, and what predicts with them. Reads no picture."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from depth_model.errors import UserError
from tasks.commands.shared import load_model, positive

if TYPE_CHECKING:
    import numpy as np

    from depth_model.interchange.openvino_runtime import OpenVinoModel
    from depth_model.networks import DepthAnything
    from depth_model.prediction.calibration import Calibration

Predict = Callable[["np.ndarray"], "np.ndarray"]

DEFAULTS = ("official", "fp32", "torch")
"""Of --preprocessing, --precision and --runtime."""


def network_options(one: argparse.ArgumentParser) -> None:
    """Add the options that say how a model is run, beside those of `shared.model_arguments`."""
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
    one.add_argument(
        "--maximum", type=within(0, float("inf")), help="meters a metric file is for whose name does not say it"
    )
    one.add_argument("--focal", type=positive, help="of the camera in pixels, for a model calibrated with another one")
    one.add_argument("--no-calibration", action="store_true", help="what the model says, not the meters of calibrate")


def uncalibrated(given: argparse.Namespace, path: Path) -> tuple[Predict, bool]:
    """Return what predicts one image with the model at `path`, and whether it gives meters, not disparity.

    Raises UserError for a file that is no such model and for options that it does not take.
    """
    from depth_model.metric.heads.metric_depth import MetricDepth
    from depth_model.metric.prediction.predictor import MetricPredictor
    from depth_model.networks.device import inference_device
    from depth_model.prediction.predictor import DepthPredictor

    if is_foreign(path):
        return _foreign(given, path)
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


def is_foreign(path: Path) -> bool:
    """Return whether the folder `path` says that it holds a model of another kind than this project's."""
    from depth_model.metric.heads.checkpoints import is_metric
    from depth_model.networks.checkpoints import config_file
    from depth_model.pseudo_label.teachers import is_relative

    return config_file(path).is_file() and not is_relative(path) and not is_metric(path)


def _foreign(given: argparse.Namespace, path: Path) -> tuple[Predict, bool]:
    """Return what `uncalibrated` does of a model that evaluation knows (MiDaS, ZoeDepth, Depth Pro ...)."""
    import numpy as np

    from depth_model.prediction.predictor import resized
    from depth_model.pseudo_label.teachers import disparity_of, estimator_of

    if given.flip_averaging or given.tile or (given.preprocessing, given.precision, given.runtime) != DEFAULTS:
        raise UserError(f"--model {given.model}: is run as it comes; leave out the options of this project's networks")
    estimator = estimator_of(path, given.short_side)
    metric = estimator.space == "metric_depth"

    def predict(image: np.ndarray) -> np.ndarray:
        found = estimator.predict(image, ())
        values = found.astype(np.float32) if metric else disparity_of(found, estimator.space)
        return resized(values, image.shape[:2])

    return predict, metric


def calibration_of(given: argparse.Namespace, path: Path) -> Calibration | None:
    """Return the calibration of the model at `path`, None without one or when `given` leaves it out.

    Raises UserError for a --focal without a calibration, and for another --short-side than its own.
    """
    from depth_model.prediction.calibration import read_calibration

    found = None if given.no_calibration else read_calibration(path)
    if given.focal is not None and found is None:
        raise UserError(f"--focal: {given.model} has no calibration for another camera; see depth-anything calibrate")
    if found is not None and found.short_side != given.short_side:
        raise UserError(f"--short-side {given.short_side}: the calibration is for {found.short_side}")
    return found


def calibrated(given: argparse.Namespace, predict: Predict, calibration: Calibration) -> Predict:
    """Return what gives meters of one image, by the calibration of the model that `predict` is."""

    def meters(image: np.ndarray) -> np.ndarray:
        return calibration.meters(predict(image), _focal(given, image, calibration))

    return meters


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


def _compiled(model: DepthAnything, precision: Literal["fp32", "bf16"]) -> OpenVinoModel:
    from depth_model.interchange.openvino_runtime import OpenVinoModel

    return OpenVinoModel(model.eval(), precision)


def within(low: float, high: float) -> Callable[[str], float]:
    """Return what reads a number above `low` and below `high` from the command line."""

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
