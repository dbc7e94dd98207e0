"""`depth-anything predict`: depth of pictures, as files that people and programs open."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from depth_model.errors import BadInput, UserError
from tasks.commands import predict_video, predictors
from tasks.commands.calibrate import verdict
from tasks.commands.inputs import PICTURES, VIDEOS, decode_budget_argument, each, inputs, is_video
from tasks.commands.outputs import add_out, check_free
from tasks.commands.predictors import within
from tasks.commands.results import COLORS, CONDITIONING, MAPS, RESOLUTION, WRITTEN, color_map, resolution, write_results
from tasks.commands.shared import model_arguments, model_path, purpose

FARTHEST = 10.0


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser(
        "predict", parents=[model_arguments()], help="depth of pictures", description=purpose(predict)
    )
    one.add_argument("pictures", nargs="+", help="pictures, videos, folders of them, or quoted patterns")
    add_out(one, "folder for the results", "pictures", "model")
    predictors.network_options(one)
    _add_form(one)
    one.add_argument("--colors", type=color_map, default=COLORS, help=f"matplotlib's color map (default: {COLORS})")
    one.add_argument("--side-by-side", action="store_true", help="colored PNG with the picture to its left")
    one.add_argument(
        "--field-of-view", type=within(0, 180), help="horizontal angle in degrees: write a point cloud (.ply) too"
    )
    one.add_argument(
        "--intrinsics",
        type=within(0, float("inf")),
        nargs=4,
        metavar=("FX", "FY", "CX", "CY"),
        help="of the camera, in pixels of the picture: write a point cloud (.ply) with them",
    )
    one.add_argument(
        "--farthest",
        type=within(1, float("inf")),
        default=FARTHEST,
        help=f"depth of the farthest point of a cloud, that of the nearest being 1 (default: {FARTHEST:g})",
    )
    decode_budget_argument(one)
    one.add_argument("--frames", action="store_true", help="of a video, also the results of every frame")
    one.set_defaults(run=predict)


def _add_form(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--as",
        dest="form",
        choices=list(WRITTEN),
        default=MAPS,
        help="maps (default), or the image that a depth ControlNet is conditioned on",
    )
    one.add_argument(
        "--resolution",
        type=resolution,
        default=RESOLUTION,
        help=f"shorter side of a conditioning image in pixels, a multiple of 8 (default: {RESOLUTION})",
    )


def predict(given: argparse.Namespace) -> None:
    """Write for every picture a 16-bit gray PNG (disparity from its least to its largest, brighter is nearer), a
    colored PNG and the disparity itself as float32 .npy; with a field of view or intrinsics also a colored point cloud,
    .ply. Of a metric or calibrated model the .npy holds meters and the gray PNG millimeters. A video gives a video of
    its depth at one scale, and with --frames all this of every frame. --as conditioning writes instead what a depth
    ControlNet takes: 8 bits in three channels, near is bright.

    Raises UserError at the end for what failed.
    """
    import numpy as np

    from depth_model.prediction.predictor import rgb

    if given.form == CONDITIONING and (given.side_by_side or given.intrinsics or given.field_of_view):
        raise UserError("--as conditioning takes neither --side-by-side nor a camera: leave them out")
    found = inputs(given.pictures)
    if not found:
        raise UserError(f"no picture or video ({', '.join(PICTURES + VIDEOS)}) was found in what you named")
    check_free(given.out, (place for place, path in found.items() if not is_video(path)), WRITTEN[given.form])
    check_free(given.out, (place for place, path in found.items() if is_video(path)), predict_video.WRITTEN[given.form])
    predictor, metric = _predictor(given)
    write = partial(write_results, metric)

    def work(place: Path, path: Path) -> None:
        if is_video(path):
            predict_video.predict_video(path, given.out / place, predictor, write, metric, given)
        else:  # The suffix stays in the name: a.jpg and a.png are two pictures.
            image = rgb(path)
            depth = predictor(image)
            if not np.isfinite(depth).all():
                raise BadInput("what the model says of it is not finite")
            write(depth, image, given.out / place, given)

    each("predict", found, given.decode_budget, work)
    print(f"{len(found)} files: {os.path.relpath(given.out)}", file=sys.stderr)


def _predictor(given: argparse.Namespace) -> tuple[predictors.Predict, bool]:
    """Return what predicts one image, and whether it gives meters: a metric model, or a calibrated one."""
    path = model_path(given.model)
    calibration = predictors.calibration_of(given, path)
    predict_one, metric = predictors.uncalibrated(given, path)
    if calibration is None:
        return predict_one, metric
    print(f"calibrated: {verdict(calibration)}; --no-calibration leaves it out", file=sys.stderr)
    return predictors.calibrated(given, predict_one, calibration), True
