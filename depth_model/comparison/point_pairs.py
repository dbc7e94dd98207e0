"""Which of two points is nearer: the accuracy of DA-2K, the benchmark of the second Depth Anything.

A pair counts as right if the closer point has the larger disparity, or the smaller depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depth_model.errors import BadInput
from depth_model.evaluation.estimator import predicted
from depth_model.evaluation.harness import reason_of
from depth_model.evaluation.protocols import GENERIC
from depth_model.prediction.estimator import Estimator
from depth_model.readers import da2k
from depth_model.shards import images

if TYPE_CHECKING:
    import pandas as pd


def right_pairs(prediction: np.ndarray, pairs: Sequence[da2k.Pair], space: str) -> np.ndarray:
    """Return bool (n,): which pairs `prediction` (H, W) in `space` has right; equal values are wrong.

    Raises BadInput for a point outside of the image.
    """
    points = np.array(pairs, int).reshape(-1, 2, 2)
    if (points >= prediction.shape).any():
        raise BadInput(f"a point lies outside of the image of {prediction.shape[0]} x {prediction.shape[1]} pixels")
    closer, farther = (prediction[points[:, which, 0], points[:, which, 1]] for which in (0, 1))
    return closer > farther if space == "disparity" else closer < farther


def evaluate_pairs(
    estimator: Estimator, root: Path, progress: Callable[[int], None]
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Measure every image of DA-2K below `root`; `progress(1)` is called after each.

    Returns a row per image (key, scene, pairs, right) and the images that could not be measured (key, reason). Raises
    BadInput for wrong annotations.
    """
    import pandas as pd

    pairs, rows, skipped = da2k.pairs(root), [], []
    options = da2k.Options()
    for item in da2k.READER.items(root, options):
        try:
            image = images.decode_rgb(da2k.READER.load(root, item, options).image)
            prediction = predicted(estimator, image, (item.key, item.source_path), image.shape[:2], GENERIC)
            right = right_pairs(prediction, pairs[item.key], estimator.space)
            counts = {"pairs": len(right), "right": int(right.sum())}
            rows.append({"key": item.key, "scene": da2k.scene(item.key), **counts})
        except (BadInput, OSError) as error:
            skipped.append({"key": item.key, "reason": reason_of(error)})
        progress(1)
    return pd.DataFrame(rows, columns=["key", "scene", "pairs", "right"]), skipped


def accuracies(table: pd.DataFrame) -> Iterator[tuple[str, float, int]]:
    """Yield (scene, share of right pairs, number of pairs) of every scene, then of "all"."""
    for scene, rows in table.groupby("scene", sort=True):
        yield str(scene), float(rows["right"].sum() / rows["pairs"].sum()), int(rows["pairs"].sum())
    yield "all", float(table["right"].sum() / table["pairs"].sum()), int(table["pairs"].sum())
