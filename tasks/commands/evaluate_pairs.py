"""`depth-anything evaluate --set da2k`: the accuracy of pairs of points."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depth_model import files
from depth_model.errors import UserError, named
from depth_model.shown import shown
from tasks.commands.evaluate_run import titles
from tasks.commands.shared import model_path

SET = "da2k"
PUBLISHED = "published accuracy: Depth Anything ViT-L 88.5 %; V2 ViT-S, B, L, G 95.3, 97.0, 97.1, 97.4 %"


def evaluate_pairs_of(given: argparse.Namespace) -> None:
    """Print the accuracy of every model per type of scene, and write a table of every image."""
    from depth_model.comparison import adapters, point_pairs
    from depth_model.progress import progress_bar
    from depth_model.readers import da2k

    if given.root is None or not Path(given.root).is_dir():
        raise UserError(f"--root {given.root}: there is no such folder")
    root = Path(given.root)
    settings = adapters.Settings(
        given.short_side, version=given.version, predictions=given.predictions, unit=given.unit
    )
    for title, model in titles(given.model).items():
        path = str(model_path(model))
        with named(f"--set {SET}, --model {model}", ValueError, OSError):
            count = len(da2k.pairs(root))
            estimator = adapters.load(path, settings)
        with progress_bar(f"evaluate {title}", count, "images") as bar:
            table, skipped = point_pairs.evaluate_pairs(estimator, root, bar.update)
        for one in skipped:
            print(shown(f"not measured: {one['key']}: {one['reason']}"), file=sys.stderr)
        if table.empty:
            raise UserError(f"--root {given.root}: no image could be measured")
        with files.atomic_path(given.out / SET / f"{title}.parquet") as temporary:
            table.to_parquet(temporary, index=False)
        for scene, accuracy, count in point_pairs.accuracies(table):
            print(f"{title}: {scene}: {accuracy:.1%} of {count} pairs")
    print(PUBLISHED, file=sys.stderr)
