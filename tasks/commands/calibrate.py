"""`depth-anything calibrate`: meters from a model by a few measured images, without training."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model.errors import BadInput, UserError, named
from depth_model.shown import shown
from tasks.commands.outputs import add_out
from tasks.commands.shared import checked_source, load_model, positive, purpose, side, version_argument
from tasks.tracking.named_models import MODEL_NAMES

if TYPE_CHECKING:
    import numpy as np

    from depth_model.prediction.calibration import Calibration, Measured

COLUMNS = ("image", "x", "y", "meters")
Picture = tuple[str, "np.ndarray", "np.ndarray", "np.ndarray", "np.ndarray"]
"""Name, image (H, W, 3), and of n measurements rows, columns and meters."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("calibrate", help="meters by a few measured images", description=purpose(calibrate))
    one.add_argument("model", help=MODEL_NAMES)
    one.add_argument("--images", required=True, type=Path, help="the folder that the pictures lie in")
    one.add_argument("--color", help="with --depth: pattern of the pictures below it, such as 'rgb/*.png'")
    one.add_argument("--depth", help="pattern of the depth of the same pixels, such as 'depth/*.png'")
    one.add_argument("--unit", type=positive, default=1.0, help="stored value of one meter: 1000 for mm (default: 1)")
    one.add_argument("--points", type=Path, help=f"instead: a CSV file with the columns {','.join(COLUMNS)}")
    one.add_argument("--focal", type=positive, help="focal length of the camera in pixels of its pictures")
    one.add_argument("--short-side", type=side, default=518, help="shorter side for the network (default: 518)")
    one.add_argument("--maximum", type=positive, help="meters a metric file is for whose name does not say it")
    version_argument(one)
    add_out(one, "folder for the model with its calibration", "model", "images", "points")
    one.set_defaults(run=calibrate)


def calibrate(given: argparse.Namespace) -> None:
    """Find the scale, or scale and shift, that turn what a model says into meters, from pictures with depth or from
    measured points; write the model with them to a folder that predict takes.

    Every picture is held out once; nothing is written when the calibration does not help on those. Raises UserError for
    that and for what cannot be read.
    """
    from depth_model.metric.heads.metric_depth import MetricDepth
    from depth_model.metric.prediction.predictor import MetricPredictor
    from depth_model.networks.device import inference_device
    from depth_model.prediction.calibration import calibrated
    from depth_model.prediction.predictor import DepthPredictor

    pictures = _pictures(given)
    model = load_model(given.model, given.version, given.maximum).to(inference_device())
    is_metric = isinstance(model, MetricDepth)
    with named(f"--model {given.model}", ValueError):
        predictor: Any = (MetricPredictor if is_metric else DepthPredictor)(model, short_side=given.short_side)
    measured, focals = _measured(pictures, predictor, given.focal or 0.0)
    with named(f"--images {given.images}"):
        focal = _only(focals) if given.focal else None
        found, errors = calibrated(measured, "depth" if is_metric else "disparity", given.short_side, focal)
    for one, error in zip(measured, errors):
        print(shown(f"{one.name}: {len(one.depth)} measurements, AbsRel {error:.4f} when held out"), file=sys.stderr)
    if not (found.abs_rel < found.before and 2 * found.better > found.images):
        raise UserError(f"not kept: {verdict(found)}")
    model.save(given.out)
    found.write(given.out)
    print(f"{given.out}: {verdict(found)}")


def verdict(found: Calibration) -> str:
    """Return in words what a calibration is, and what it was worth on images held out."""
    unit, before = ("meters", "the model's own meters")
    if found.space == "disparity":
        unit, before = ("1/meters", "one depth for all pixels")
    form = f"{unit} = {found.scale:.4g} x what the model says" + (f" {found.shift:+.4g}" if found.shift else "")
    better = f"better than {before} on {found.better} of {found.images} held-out images"
    return f"{form}; {better}, AbsRel {found.before:.4f} -> {found.abs_rel:.4f}"


def _measured(pictures: Iterator[Picture], predictor: Any, focal: float) -> tuple[list[Measured], set[float]]:
    """Return what the model says where it was measured, and the focal lengths in shorter sides of the images."""
    import numpy as np

    from depth_model.prediction.calibration import Measured

    found, focals = [], set()
    for name, image, rows, columns, depth in pictures:
        focals.add(focal / min(image.shape[:2]))
        found.append(Measured(name, predictor(image)[rows, columns].astype(np.float64), depth))
    return found, focals


def _only(focals: set[float]) -> float:
    if len(focals) > 1:
        raise BadInput("pictures of several sizes, which one --focal in pixels cannot be for: calibrate one size")
    return focals.pop() if focals else 0.0


def _pictures(given: argparse.Namespace) -> Iterator[Picture]:
    if not given.images.is_dir():
        raise UserError(f"--images {given.images}: there is no such folder")
    if (given.points is None) == (given.color is None) or (given.color is None) != (given.depth is None):
        raise UserError("say what was measured: by --color and --depth, or by --points")
    return _of_depth(given) if given.points is None else _of_points(given)


def _of_depth(given: argparse.Namespace) -> Iterator[Picture]:
    import numpy as np

    from depth_model.progress import progress_bar
    from tasks.commands.evaluate_run import chosen_cases

    options = {"color": given.color, "depth": given.depth, "unit": given.unit}
    cases = chosen_cases(checked_source("rgbd_folder", str(given.images), options), None)
    with progress_bar("calibrate", len(cases), "images") as bar:
        for index in range(len(cases)):
            try:
                one = cases.load(index)
            except (BadInput, OSError) as error:
                print(shown(f"not used: {cases.key(index)}: {error}"), file=sys.stderr)
                continue
            rows, columns = np.nonzero(np.isfinite(one.target) & (one.target > 0))
            if len(rows):
                yield one.key, one.image, rows, columns, one.target[rows, columns].astype(np.float64)
            bar.update()


def _of_points(given: argparse.Namespace) -> Iterator[Picture]:
    import numpy as np

    from depth_model.prediction.predictor import rgb

    for name, points in _points(given.points).items():
        with named(f"{given.points}: {name}", OSError):
            image = rgb(given.images / name)
            columns, rows, depth = np.array(points).T
            inside = (rows >= 0) & (rows < image.shape[0] - 0.5) & (columns >= 0) & (columns < image.shape[1] - 0.5)
            if not inside.all():
                raise BadInput(f"a point lies outside its {image.shape[1]} x {image.shape[0]} pixels")
        yield name, image, np.rint(rows).astype(int), np.rint(columns).astype(int), depth


def _points(path: Path) -> dict[str, list[tuple[float, float, float]]]:
    """Return image -> (x, y, meters) of a CSV file; raises UserError that names the line."""
    from depth_model.reading.split_lists import text_of

    found = defaultdict(list)
    with named(f"--points {path}", OSError, csv.Error):
        lines = csv.DictReader(io.StringIO(text_of(path), newline=""))
        missing = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
        if missing:
            raise BadInput(f"has no column {missing[0]}; its first line is {','.join(COLUMNS)}")
        for line in lines:
            try:
                x, y, meters = (float(line[name]) for name in COLUMNS[1:])
            except (TypeError, ValueError) as error:
                raise BadInput(f"line {lines.line_num}: {error}") from error
            if not 0 < meters < float("inf"):
                raise BadInput(f"line {lines.line_num}: {meters} meters; must be above 0")
            found[line["image"]].append((x, y, meters))
    return dict(found)
