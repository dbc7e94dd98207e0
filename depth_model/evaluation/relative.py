"""Zero-shot relative depth (paper.md 4.1): align every prediction to the truth of its image, then measure.

Mean over images of per-image metrics. A constant prediction, aligned like any other, is measured beside the
models: what a model must beat to have seen anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_model.datasets.sample import BadInput
from depth_model.datasets.source import SourceFolder
from depth_model.evaluation.alignment import align_disparity
from depth_model.evaluation.figures import Example
from depth_model.evaluation.metrics import METRICS, depth_metrics
from depth_model.evaluation.protocols import Protocol, depth_range, true_depth

if TYPE_CHECKING:
    import pandas as pd

    from depth_model.inference import DepthPredictor

CONSTANT = "constant"
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

    Raises BadInput with fewer than 10 pixels of truth in range, or for a prediction that is not finite.
    """
    depth, valid, low, high = measurable(target, kind, protocol)
    if not np.isfinite(prediction).all():
        raise BadInput("the prediction is not finite")
    predicted, true = prediction[valid], depth[valid]  # gathered once: most of a LiDAR image is not valid
    alignment = align_disparity(predicted, 1 / true.astype(np.float64))
    return depth_metrics(depth_of_disparity(predicted, *alignment, low, high), true)


def measurable(
    target: np.ndarray, kind: str, protocol: Protocol
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return depth (H, W), which pixels count (bool), and the range; raises BadInput with fewer than 10 of them."""
    depth = true_depth(target, kind)
    low, high = depth_range(depth, kind, protocol)
    valid = (depth > low) & (depth < high)  # False for NaN
    if valid.sum() < FEWEST_PIXELS:
        raise BadInput(f"{int(valid.sum())} pixels of truth between {low:g} and {high:g}, {FEWEST_PIXELS} are needed")
    return depth, valid, low, high


def evaluate(
    models: Mapping[str, DepthPredictor],
    source: SourceFolder,
    protocol: Protocol,
    progress: Callable[[], None],
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Measure `models` and the constant on every image of `source`; `progress()` is called after each image.

    Returns a row per image and model (key, model, the metrics) and the images that could not be measured (key,
    reason). Raises ValueError when the targets of the source leave no depth (see `true_depth`).
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for index in range(len(source)):
        try:
            rows += list(_rows(models, source, index, protocol))
        except BadInput as error:
            skipped.append({"key": source.key(index), "reason": str(error)})
        progress()
    return pd.DataFrame(rows, columns=["key", "model", *(metric.key for metric in METRICS)]), skipped


def _rows(
    models: Mapping[str, DepthPredictor], source: SourceFolder, index: int, protocol: Protocol
) -> Iterator[dict[str, Any]]:
    predictions = predict_all(models, source, index)
    target = source.target(index)
    for name, prediction in predictions.items():
        measured = relative_depth_metrics(prediction, target, source.target_kind, protocol)
        yield {"key": source.key(index), "model": name, **measured}


def predict_all(
    models: Mapping[str, DepthPredictor], source: SourceFolder, index: int
) -> dict[str, np.ndarray]:
    """Return disparity (h, w) by model at the size of the target of sample `index`, and that of the constant.

    Raises BadInput when the sample has no target.
    """
    from depth_model.inference import resized

    target = source.target(index)
    if target is None:
        raise BadInput("no ground truth")
    image = source.image(index)
    predictions = {name: resized(predictor(image), target.shape) for name, predictor in models.items()}
    return predictions | {CONSTANT: np.zeros(target.shape, np.float32)}


def means(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return model -> metric -> mean over images of the table that `evaluate` returns."""
    keys = [metric.key for metric in METRICS]
    averages = table.groupby("model", sort=False)[keys].mean()
    return {str(name): {key: float(row[key]) for key in keys} for name, row in averages.iterrows()}


def chosen_examples(table: pd.DataFrame, model: str, count: int) -> list[str]:
    """Return at most `count` keys of `table` from the best to the worst AbsRel of `model`, evenly spaced in rank."""
    ranked = table[table["model"] == model].sort_values(["abs_rel", "key"])["key"].tolist()
    places = np.unique(np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int))
    return [ranked[place] for place in places]


def example(
    models: Mapping[str, DepthPredictor], source: SourceFolder, index: int, table: pd.DataFrame, protocol: Protocol
) -> Example:
    """Return what the figure of sample `index` shows: its truth and the aligned depth of every model."""
    target = source.target(index)
    depth, valid, low, high = measurable(target, source.target_kind, protocol)
    predictions = predict_all(models, source, index)
    aligned = {
        name: depth_of_disparity(predictions[name], *align_disparity(predictions[name], 1 / depth, valid), low, high)
        for name in models
    }
    scores = table[table["key"] == source.key(index)].set_index("model")["abs_rel"]
    return Example(
        key=source.key(index),
        image=source.image(index),
        depth=np.where(valid, depth, np.nan),
        aligned=aligned,
        scores={name: f"AbsRel {scores[name]:.3f}" for name in models},
        unit="m" if source.target_kind == "metric_depth" else "any scale",
    )
