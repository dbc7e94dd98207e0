"""`depth-anything synthesize`: what a ControlNet makes of the depth of several models (paper, figure 4)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model import files
from depth_model.errors import UserError, named
from tasks.commands.controlnet import base_argument
from tasks.commands.evaluate_run import titles
from tasks.commands.inputs import decode_budget_argument, each, inputs, is_video
from tasks.commands.outputs import add_out
from tasks.commands.results import RESOLUTION, resolution
from tasks.commands.shared import model_path, positive, purpose, side, version_argument
from tasks.tracking.named_models import MODEL_NAMES

if TYPE_CHECKING:
    import numpy as np

FIGURE = "figure.png"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("synthesize", help="pictures from depth", description=purpose(synthesize))
    one.add_argument("pictures", nargs="+", help="pictures, folders of them, or quoted patterns")
    one.add_argument("--controlnet", required=True, help="folder of a depth ControlNet, or its hub id")
    base_argument(one)
    one.add_argument(
        "--model", action="append", required=True, help=f"as NAME=MODEL, once for each to compare; {MODEL_NAMES}"
    )
    one.add_argument("--prompt", default="a photograph", help="what the pictures show (default: a photograph)")
    one.add_argument("--seed", type=int, default=7, help="of the noise that every picture starts from (default: 7)")
    one.add_argument("--steps", type=int, default=20, help="of denoising (default: 20)")
    one.add_argument(
        "--resolution", type=resolution, default=RESOLUTION, help=f"of their shorter side (default: {RESOLUTION})"
    )
    one.add_argument("--short-side", type=side, default=518, help="shorter side for our networks (default: 518)")
    version_argument(one)
    one.add_argument("--model-maximum", type=positive, help="meters a metric file is for whose name does not say")
    decode_budget_argument(one)
    add_out(one, "folder for the pictures and the figure", "pictures", "model", "controlnet")
    one.set_defaults(run=synthesize)


def synthesize(given: argparse.Namespace) -> None:
    """Write figure.png, a row for every picture: the picture, and for every model its depth and what the ControlNet
    makes of it from the same noise; and these pictures one by one.

    Raises UserError for models, a base or a ControlNet that cannot be had, and where no picture is named.
    """
    from depth_model.controlnet.base import load_base
    from depth_model.controlnet.synthesis import load_controlnet, synthesized, synthesizer, write_figure
    from depth_model.media.conditioning import conditioning_image
    from depth_model.media.pictures import png, spread
    from depth_model.networks.device import inference_device
    from depth_model.prediction.predictor import resized, rgb

    found = {place: path for place, path in inputs(given.pictures).items() if not is_video(path)}
    if not found:
        raise UserError("no picture was found in what you named")
    models = _models(given)
    pipeline = synthesizer(load_base(given.base), load_controlnet(given.controlnet), inference_device())
    rows = []

    def work(place: Path, path: Path) -> None:
        image, made = rgb(path), {}
        for name, disparity in models.items():
            nearness = resized(disparity(image), image.shape[:2])
            depth = conditioning_image(spread(nearness), given.resolution)
            made[name] = depth, synthesized(pipeline, depth, given.prompt, given.seed, given.steps)
            for what, picture in zip(("conditioning", "synthesis"), made[name], strict=True):
                files.write_bytes(given.out / place.with_name(f"{place.name}.{name}.{what}.png"), png(picture))
        rows.append((image, made))

    try:
        each("synthesize", found, given.decode_budget, work)
    finally:  # what failed is told; the figure shows the others
        if rows:
            write_figure(given.out / FIGURE, rows)
    print(os.path.relpath(given.out / FIGURE), file=sys.stderr)


def _models(given: argparse.Namespace) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return what gives the disparity float32 (h, w) of an image, by the name of each model."""
    from depth_model.comparison import adapters
    from depth_model.pseudo_label.teachers import disparity_of

    settings = adapters.Settings(given.short_side, maximum=given.model_maximum, version=given.version)

    def disparity(model: str) -> Callable[[np.ndarray], np.ndarray]:
        with named(f"--model {model}", ValueError):
            estimator = adapters.load(str(model_path(model)), settings)
        return lambda image: disparity_of(estimator.predict(image, ()), estimator.space)

    return {title: disparity(model) for title, model in titles(given.model).items()}
