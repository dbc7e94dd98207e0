"""`depth-anything figure`: pictures beside the depth of any models, as the paper's Figures 1 and 3."""

from __future__ import annotations

import argparse

from depth_model import files
from depth_model.errors import UserError, named
from tasks.commands.evaluate_run import titles
from tasks.commands.inputs import decode_budget_argument, each, inputs, is_video
from tasks.commands.outputs import add_out
from tasks.commands.results import COLORS, color_map
from tasks.commands.shared import model_path, positive, purpose, side, version_argument
from tasks.tracking.named_models import MODEL_NAMES


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("figure", help="pictures beside the depth of any models", description=purpose(figure))
    one.add_argument("pictures", nargs="+", help="pictures, folders of them, or quoted patterns")
    one.add_argument(
        "--model", action="append", required=True, help=f"{MODEL_NAMES}; as NAME=MODEL to name it; several side by side"
    )
    add_out(one, "the PNG file", "pictures", "model")
    one.add_argument("--short-side", type=side, default=518, help="of our networks' input (default: 518)")
    one.add_argument("--model-maximum", type=positive, help="meters a metric file is for whose name does not say")
    version_argument(one)
    one.add_argument("--colors", type=color_map, default=COLORS, help=f"matplotlib's color map (default: {COLORS})")
    decode_budget_argument(one)
    one.set_defaults(run=figure)


def figure(given: argparse.Namespace) -> None:
    """Write a PNG of pictures and the depth that models see in them. With one model every picture stands above its
    depth, with several the models stand side by side, aligned to the first by scale and shift and in its colors.

    Raises UserError for a wrong model, and when no picture could be shown.
    """
    from depth_model.comparison import adapters
    from depth_model.comparison.gallery import gallery, shown
    from depth_model.prediction.predictor import rgb

    settings = adapters.Settings(given.short_side, maximum=given.model_maximum, version=given.version)
    models = {}
    for title, model in titles(given.model).items():
        with named(f"--model {model}", ValueError):
            models[title] = adapters.load(str(model_path(model)), settings)
    pictures = {place: path for place, path in inputs(given.pictures).items() if not is_video(path)}
    if not pictures:
        raise UserError("no pictures are there (of a video take frames: predict --frames)")
    rows = []
    try:
        each(
            "figure",
            pictures,
            given.decode_budget,
            lambda place, path: rows.append(shown(models, place.name, rgb(path))),
        )
    finally:  # what failed is told; the figure shows the others
        if rows:
            files.write_bytes(given.out, gallery(rows, given.colors))
            print(given.out)
