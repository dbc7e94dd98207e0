"""`depth-anything segment`: classes of pictures, as labels and laid over the pictures."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model import files
from depth_model.errors import UserError, named
from tasks.commands.inputs import PICTURES, decode_budget_argument, each, inputs, is_video
from tasks.commands.outputs import add_out, check_free
from tasks.commands.shared import model_path, purpose, side
from tasks.tracking.named_models import MODEL_NAMES

if TYPE_CHECKING:
    from depth_model.semantic.prediction.predictor import Segmenter


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("segment", help="classes of pictures", description=purpose(segment))
    one.add_argument("pictures", nargs="+", help="pictures, folders of them, or quoted patterns")
    one.add_argument("--model", required=True, help=f"a segmentation model: {MODEL_NAMES}")
    one.add_argument("--short-side", type=side, help="shorter side for the network (default: as trained)")
    one.add_argument("--multi-scale", action="store_true", help="mean over seven scales and mirrored pictures")
    add_out(one, "folder for the results", "pictures", "model")
    decode_budget_argument(one)
    one.set_defaults(run=segment)


def segment(given: argparse.Namespace) -> None:
    """Write for every picture its labels as an 8-bit gray PNG (class numbers from 0) and the picture under their
    colors; and classes.json, the names and colors of the numbers.

    Raises UserError at the end for what failed.
    """
    from depth_model.evaluation.segmentation_figures import overlay
    from depth_model.media.pictures import png
    from depth_model.prediction.predictor import rgb

    found = {place: path for place, path in inputs(given.pictures).items() if not is_video(path)}
    if not found:
        raise UserError(f"no picture ({', '.join(PICTURES)}) was found in what you named")
    check_free(given.out, found, (".labels.png", ".overlay.png"))
    segmenter = _segmenter(given)
    classes = segmenter.model.classes
    named = [{"name": name, "color": list(color)} for name, color in zip(classes.classes, classes.palette)]
    files.write_json(given.out / "classes.json", named)

    def work(place: Path, path: Path) -> None:
        image = rgb(path)
        labels = segmenter(image)
        for suffix, values in ((".labels.png", labels), (".overlay.png", overlay(image, labels, classes))):
            files.write_bytes(given.out / place.with_name(place.name + suffix), png(values))

    each("segment", found, given.decode_budget, work)
    print(f"{len(found)} files: {os.path.relpath(given.out)}", file=sys.stderr)


def _segmenter(given: argparse.Namespace) -> Segmenter:
    from depth_model.networks.device import inference_device
    from depth_model.semantic.heads.segmentation import Segmentation
    from depth_model.semantic.prediction.predictor import MULTI_SCALE, Segmenter

    path = model_path(given.model)
    with named(f"--model {given.model}"):
        model = Segmentation.load(path).to(inference_device())
    scales = {"scales": MULTI_SCALE, "flip": True} if given.multi_scale else {}
    return Segmenter(model, given.short_side, **scales)
