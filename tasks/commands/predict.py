"""`depth-anything predict`: depth of pictures, as files that people and programs open."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model.errors import BadInput, UserError, named
from tasks.commands.inputs import PICTURES, VIDEOS, inputs, is_video
from tasks.commands.results import COLORS, write_metric_results, write_results
from tasks.commands.shared import load_metric_model, load_model, model_arguments, model_folder, purpose

if TYPE_CHECKING:
    import numpy as np

FARTHEST = 10.0
DEFAULTS = ("official", "fp32", "torch")
"""Of --preprocessing, --precision and --runtime."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser(
        "predict", parents=[model_arguments()], help="depth of pictures", description=purpose(predict)
    )
    one.add_argument("pictures", nargs="+", help="pictures, videos, folders of them, or quoted patterns")
    one.add_argument("-o", "--out", type=Path, required=True, help="folder for the results")
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
    one.add_argument("--colors", type=_color_map, default=COLORS, help=f"matplotlib's colour map (default: {COLORS})")
    one.add_argument("--side-by-side", action="store_true", help="coloured PNG with the picture to its left")
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
        "--maximum", type=_within(0, float("inf")), help="metres a released metric .pt is for (indoor: 10, outdoor: 80)"
    )
    one.add_argument(
        "--farthest",
        type=_within(1, float("inf")),
        default=FARTHEST,
        help=f"depth of the farthest point of a cloud, that of the nearest being 1 (default: {FARTHEST:g})",
    )
    one.set_defaults(run=predict)


def predict(given: argparse.Namespace) -> None:
    """Write for every picture, and every frame of a video, a 16-bit grey PNG (disparity from its least to its largest,
    brighter is nearer), a coloured PNG and the disparity itself as float32 .npy; with a field of view or intrinsics
    also a coloured point cloud, .ply. Of a metric model the .npy holds metres and the grey PNG millimetres.

    Raises UserError at the end for what could not be read.
    """
    from depth_model.progress import progress_bar

    found = inputs(given.pictures)
    if not found:
        raise UserError(f"no picture or video ({', '.join(PICTURES + VIDEOS)}) was found in what you named")
    predictor, write = _predictor(given)
    refused = []
    with progress_bar("predict", len(found), "files") as bar:
        for place, path in found.items():
            try:
                for stem, image in _images(path, given.out / place):
                    write(predictor(image), image, stem, given)
            except (BadInput, OSError) as error:
                refused.append(f"{path}: {getattr(error, 'strerror', None) or error}")
            bar.update()
    if refused:
        raise UserError("\n".join(refused))
    print(f"{len(found)} files: {os.path.relpath(given.out)}", file=sys.stderr)


def _predictor(given: argparse.Namespace) -> tuple[Callable[[np.ndarray], np.ndarray], Callable[..., None]]:
    """Return what predicts one image, and what writes its results: disparity, or metres of a metric model."""
    from depth_model.metric.heads.checkpoints import is_metric
    from depth_model.metric.prediction.predictor import MetricPredictor
    from depth_model.prediction.predictor import DepthPredictor, inference_device

    if is_metric(model_folder(given.model)):
        if given.tile is not None or (given.preprocessing, given.precision, given.runtime) != DEFAULTS:
            raise UserError("--tile, --preprocessing, --precision and --runtime are for relative models only")
        model = load_metric_model(given.model, given.maximum).to(inference_device())
        return MetricPredictor(model, flip_averaging=given.flip_averaging), write_metric_results
    options = ("flip_averaging", "preprocessing", "tile", "precision", "runtime")
    model = load_model(given.model).to("cpu" if given.runtime == "openvino" else inference_device())
    with named(f"--model {given.model}", ValueError):
        return DepthPredictor(model, given.short_side, **{one: getattr(given, one) for one in options}), write_results


def _images(path: Path, stem: Path) -> Iterator[tuple[Path, np.ndarray]]:
    """Yield what the results of each image in `path` are called, and the image: of a video its frames by number."""
    from depth_model.prediction.predictor import rgb
    from depth_model.progress import progress_bar
    from depth_model.reading.video import announced_frames, frames

    if not is_video(path):
        # The suffix stays in the name: a.jpg and a.png are two pictures.
        yield stem, rgb(path)
        return
    with progress_bar(path.name, announced_frames(path), "frames") as bar:
        for number, image in enumerate(frames(path)):
            yield stem / f"{number:06d}", image
            bar.update()


def _color_map(name: str) -> str:
    from difflib import get_close_matches

    from matplotlib import colormaps

    if name not in colormaps:
        near = get_close_matches(name, list(colormaps), n=3) or [COLORS]
        raise argparse.ArgumentTypeError(f"{name}: matplotlib has no such colour map; perhaps {', '.join(near)}")
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
