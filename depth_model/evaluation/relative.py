"""Zero-shot relative depth (paper.md 4.1): align every prediction to the truth of its image, then measure.

Mean over images of per-image metrics. A constant prediction, aligned like any other, is measured beside the
models: what a model must beat to have seen anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_model.datasets.sample import BadInput
from depth_model.datasets.source import SourceFolder
from depth_model.evaluation.alignment import align_disparity, is_constant
from depth_model.evaluation.figures import Example
from depth_model.evaluation.metrics import METRICS, depth_metrics
from depth_model.evaluation.protocols import Protocol, check_kind, depth_range

if TYPE_CHECKING:
    import pandas as pd

    from depth_model.inference import DepthPredictor

CONSTANT = "constant"
COLLAPSED = "constant_prediction"
FEWEST_PIXELS = 10


def depth_of_disparity(
    disparity: np.ndarray, scale: float, shift: float, minimum: float, maximum: float
) -> np.ndarray:
    """Return depth float64 in [minimum, maximum] of `disparity` once aligned by `scale` and `shift`."""
    aligned = disparity.astype(np.float64) * scale + shift
    return 1 / np.clip(aligned, 1 / maximum, 1 / minimum)


def relative_depth_metrics(
    prediction: np.ndarray, target: np.ndarray, kind: str, protocol: Protocol
) -> dict[str, float]:
    """Return the metrics of one image: disparity `prediction` (H, W) against `target` (H, W) of `kind`.

    Raises BadInput with fewer than 10 pixels of truth in range, for `affine_disparity`, and for a prediction that
    is not finite.
    """
    return _measured(prediction, measurable(target, kind, protocol))


@dataclass(frozen=True)
class Truth:
    """What one image of `shape` (H, W) is measured against, gathered once: most of a LiDAR image does not count.

    `places` (n,) are the flat indices of the pixels that count, `depth` (n,) float64 what is true there, strictly
    between `minimum` and `maximum`.
    """

    shape: tuple[int, ...]
    places: np.ndarray
    depth: np.ndarray
    minimum: float
    maximum: float


def measurable(target: np.ndarray, kind: str, protocol: Protocol) -> Truth:
    """Return the truth of one image; raises BadInput with fewer than 10 pixels that count, or as `check_kind` does."""
    check_kind(kind)
    places = np.flatnonzero(np.isfinite(target) & (target > 0))
    depth = target.ravel().take(places).astype(np.float64)
    depth = 1 / depth if kind == "disparity" else depth
    low, high = depth_range(depth, kind, protocol)
    counts = (depth > low) & (depth < high)
    number = np.count_nonzero(counts)
    if number < FEWEST_PIXELS:
        raise BadInput(f"{number} pixels of truth between {low:g} and {high:g}, {FEWEST_PIXELS} are needed")
    return Truth(target.shape, places[counts], depth[counts], low, high)


def _measured(prediction: np.ndarray, truth: Truth) -> dict[str, float]:
    predicted = prediction.ravel().take(truth.places)
    if not np.isfinite(predicted).all():
        raise BadInput("the prediction is not finite")
    alignment = align_disparity(predicted, 1 / truth.depth)
    depth = depth_of_disparity(predicted, *alignment, truth.minimum, truth.maximum)
    return depth_metrics(depth, truth.depth)


def evaluate(
    models: Mapping[str, DepthPredictor],
    source: SourceFolder,
    protocol: Protocol,
    progress: Callable[[], None],
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Measure `models` and the constant on every image of `source`; `progress()` is called after each image.

    Returns a row per image and model (key, model, the metrics, and whether the prediction was one constant, as that
    of a dead model is) and the images that could not be measured (key, reason), which count for no model.
    Raises BadInput when the targets of the source leave no depth (see `check_kind`).
    """
    import pandas as pd

    check_kind(source.target_kind)
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for index in range(len(source)):
        try:
            rows += list(_rows(models, source, index, protocol))
        except BadInput as error:
            skipped.append({"key": source.key(index), "reason": str(error)})
        progress()
    columns = ["key", "model", *(metric.key for metric in METRICS), COLLAPSED]
    return pd.DataFrame(rows, columns=columns), skipped


def _rows(
    models: Mapping[str, DepthPredictor], source: SourceFolder, index: int, protocol: Protocol
) -> Iterator[dict[str, Any]]:
    truth = _truth(source, index, protocol)
    for name, prediction in _predictions(models, source.image(index), truth.shape).items():
        try:
            measured = _measured(prediction, truth)
        except BadInput as error:
            raise BadInput(f"{name}: {error}") from error
        collapsed = name != CONSTANT and is_constant(prediction)
        yield {"key": source.key(index), "model": name, **measured, COLLAPSED: collapsed}


def _truth(source: SourceFolder, index: int, protocol: Protocol) -> Truth:
    target = source.target(index)
    if target is None:
        raise BadInput("no ground truth")
    return measurable(target, source.target_kind, protocol)


def _predictions(
    models: Mapping[str, DepthPredictor], image: np.ndarray, size: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Return disparity at `size` (h, w), that of the truth, by model, and that of the constant."""
    from depth_model.inference import resized

    predictions = {name: resized(predictor(image), size) for name, predictor in models.items()}
    return predictions | {CONSTANT: np.zeros(size, np.float32)}


def means(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return model -> metric -> mean over images of the table that `evaluate` returns."""
    keys = [metric.key for metric in METRICS]
    averages = table.groupby("model", sort=False)[keys].mean()
    return {str(name): {key: float(row[key]) for key in keys} for name, row in averages.iterrows()}


def collapsed(table: pd.DataFrame) -> dict[str, int]:
    """Return model -> number of images on which its prediction was one constant, of the models that have some."""
    counts = table.groupby("model", sort=False)[COLLAPSED].sum()
    return {str(name): int(count) for name, count in counts.items() if count}


def chosen_examples(table: pd.DataFrame, model: str, count: int) -> list[str]:
    """Return at most `count` keys of `table` from the best to the worst AbsRel of `model`, evenly spaced in rank."""
    ranked = table[table["model"] == model].sort_values(["abs_rel", "key"])["key"].tolist()
    places = np.unique(np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int))
    return [ranked[place] for place in places]


def example(
    models: Mapping[str, DepthPredictor], source: SourceFolder, index: int, table: pd.DataFrame, protocol: Protocol
) -> Example:
    """Return what the figure of sample `index` shows: its truth and the aligned depth of every model."""
    truth = _truth(source, index, protocol)
    image = source.image(index)
    predictions = _predictions(models, image, truth.shape)
    aligned = {}
    for name in models:
        alignment = align_disparity(predictions[name].ravel().take(truth.places), 1 / truth.depth)
        aligned[name] = depth_of_disparity(predictions[name], *alignment, truth.minimum, truth.maximum)
    depth = np.full(truth.shape, np.nan)
    np.put(depth, truth.places, truth.depth)
    scores = table[table["key"] == source.key(index)].set_index("model")["abs_rel"]
    return Example(
        key=source.key(index),
        image=image,
        depth=depth,
        aligned=aligned,
        scores={name: f"AbsRel {scores[name]:.3f}" for name in models},
        unit="m" if source.target_kind == "metric_depth" else "any scale",
    )
