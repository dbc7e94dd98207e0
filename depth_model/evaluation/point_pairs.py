"""Which of two points is nearer: the accuracy of DA-2K, the benchmark of the second Depth Anything.

`annotations.json` maps an image to pairs of points [row, column] and says which one is closer; the first folder of the
path is the type of scene. A pair counts as right if the closer point has the larger disparity, or the smaller depth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from depth_model.datasets import images
from depth_model.datasets.inputs import read_below
from depth_model.datasets.sample import BadInput
from depth_model.evaluation.estimator import Estimator, predicted
from depth_model.evaluation.protocols import GENERIC

if TYPE_CHECKING:
    import pandas as pd

ANNOTATIONS = "annotations.json"


@dataclass(frozen=True)
class PointPairs:
    """The pairs of one image: `closer` and `farther` are integer (n, 2) of row and column; `path` is below the root."""

    path: str
    closer: np.ndarray
    farther: np.ndarray

    @property
    def scene(self) -> str:
        """The type of scene: the first folder of the path."""
        parts = [part for part in PurePosixPath(self.path).parts[:-1] if part != "images"]
        return parts[0] if parts else ""


def annotated_pairs(root: Path) -> list[PointPairs]:
    """Return the pairs of every image that `annotations.json` below `root` names, in its order.

    Raises FileNotFoundError without the file, and BadInput that names the image for an entry that is no list of pairs.
    """
    try:
        content = json.loads((Path(root) / ANNOTATIONS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{ANNOTATIONS}: not valid JSON: {error}") from error
    return [_pairs(path, entries) for path, entries in content.items()]


def _pairs(path: str, entries: list[Mapping[str, object]]) -> PointPairs:
    try:
        other = {"point1": "point2", "point2": "point1"}
        names = [str(entry["closer_point"]) for entry in entries]
        closer = np.array([entry[name] for entry, name in zip(entries, names)], int).reshape(-1, 2)
        farther = np.array([entry[other[name]] for entry, name in zip(entries, names)], int).reshape(-1, 2)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{ANNOTATIONS}: {path}: no list of point1, point2 and closer_point ({error!r})") from error
    return PointPairs(path, closer, farther)


def right_pairs(prediction: np.ndarray, pairs: PointPairs, space: str) -> np.ndarray:
    """Return bool (n,): which pairs `prediction` (H, W) in `space` has right; equal values are wrong.

    Raises BadInput for a point outside of the image.
    """
    points = np.concatenate([pairs.closer, pairs.farther])
    if ((points < 0) | (points >= prediction.shape)).any():
        raise BadInput(f"a point lies outside of the image of {prediction.shape[0]} x {prediction.shape[1]} pixels")
    closer, farther = (prediction[tuple(one.T)] for one in (pairs.closer, pairs.farther))
    return closer > farther if space == "disparity" else closer < farther


def evaluate_pairs(
    estimator: Estimator, root: Path, pairs: list[PointPairs], progress: Callable[[], None]
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return a row per image (key, scene, pairs, right) and the images that could not be measured (key, reason)."""
    import pandas as pd

    rows, skipped = [], []
    for one in pairs:
        try:
            image = images.decode_rgb(read_below(root, one.path))
            prediction = predicted(estimator, image, one.path.rpartition(".")[0], image.shape[:2], GENERIC)
            right = right_pairs(prediction, one, estimator.space)
            rows.append({"key": one.path, "scene": one.scene, "pairs": len(right), "right": int(right.sum())})
        except (BadInput, OSError) as error:
            skipped.append({"key": one.path, "reason": str(error)})
        progress()
    return pd.DataFrame(rows, columns=["key", "scene", "pairs", "right"]), skipped


def accuracies(table: pd.DataFrame) -> Iterator[tuple[str, float, int]]:
    """Yield (scene, share of right pairs, number of pairs) of every scene, then of "all"."""
    for scene, rows in table.groupby("scene", sort=True):
        yield str(scene), float(rows["right"].sum() / rows["pairs"].sum()), int(rows["pairs"].sum())
    yield "all", float(table["right"].sum() / table["pairs"].sum()), int(table["pairs"].sum())
