"""Every model on every image of a set, by one protocol: a row per image and model.

Where predictions are aligned, a constant prediction, aligned like any other, is measured beside the models: what a
model must beat to have seen anything. An image without truth, or one that cannot be read, counts for no model; one that
a model fails on (a prediction that is not finite, or missing) is that model's failure, and counts for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_model.errors import BadInput
from depth_model.evaluation.cases import Case, Cases
from depth_model.evaluation.corruptions import corrupted
from depth_model.evaluation.estimator import cut, predicted
from depth_model.evaluation.figures import Example
from depth_model.evaluation.fitting import fit, remark
from depth_model.evaluation.image_metrics import image_metrics, metrics_of
from depth_model.evaluation.protocols import Protocol
from depth_model.evaluation.truth import Truth, truth_of
from depth_model.evaluation.verdict import CONSTANT
from depth_model.metrics.alignment import is_constant
from depth_model.prediction.estimator import Estimator

if TYPE_CHECKING:
    import pandas as pd

COLLAPSED, FAILURE, REMARK = "constant_prediction", "failure", "remark"
Result = dict[str, Any]
"""Of one image: key and `rows`, or key and the `reason` why it cannot be measured for any model."""


def evaluate(
    models: Mapping[str, Estimator], cases: Cases, protocol: Protocol, progress: Callable[[], Any] = lambda: None
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Evaluate `models` and, for relative depth, the constant on every case; `progress()` is called after each.

    Returns what `joined` does. Raises ValueError for metric depth by a model that does not give meters.
    """
    results = []
    for index in range(len(cases)):
        results.append(image_result(models, cases, index, protocol))
        progress()
    return joined([results], protocol)


def joined(results: Iterable[Iterable[Result]], protocol: Protocol) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return the table of `results`, each of some models on the same images, and the images that count for no model.

    The table has a row per image and model: key, model, the metrics (NaN where the model failed), whether the
    prediction was one constant, as that of a dead model is, why the model failed, and what the prediction looks like
    instead of what it was taken for (see `fitting.remark`); the others are key, reason.
    """
    import pandas as pd

    rows, skipped = [], []
    for of_models in zip(*results, strict=True):
        reasons = [one["reason"] for one in of_models if "reason" in one]
        if reasons:
            skipped.append({"key": of_models[0]["key"], "reason": reasons[0]})
            continue
        # The constant that every one of them has last stands once, behind the models.
        by_model = {row["model"]: row for one in of_models for row in one["rows"]}
        rows += sorted(by_model.values(), key=lambda row: row["model"] == CONSTANT)
    keys = (metric.key for metric in metrics_of(protocol))
    return pd.DataFrame(rows, columns=["key", "model", *keys, COLLAPSED, FAILURE, REMARK]), skipped


def image_result(models: Mapping[str, Estimator], cases: Cases, index: int, protocol: Protocol) -> Result:
    """Return the result of case `index`."""
    try:
        return {"key": cases.key(index), "rows": image_rows(models, cases.load(index), protocol)}
    except (BadInput, OSError) as error:
        return {"key": cases.key(index), "reason": reason_of(error)}


def reason_of(error: BadInput | OSError) -> str:
    """Return in one line why an image could not be measured."""
    return str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error.strerror or error}"


def image_rows(models: Mapping[str, Estimator], case: Case, protocol: Protocol) -> list[dict[str, Any]]:
    """Return a row per model, and for relative depth one of the constant; raises BadInput when no truth counts."""
    image, truth = _seen(case, protocol)
    everyone = models if protocol.is_metric else {**models, CONSTANT: _CONSTANT}
    rows = []
    for name, model in everyone.items():
        row = {"key": case.key, "model": name, COLLAPSED: False, FAILURE: "", REMARK: ""}
        try:
            prediction = predicted(model, image, (case.key, *case.names), truth.shape, protocol)
            found = fit(prediction, truth, model.space, protocol)
            row |= image_metrics(prediction, truth, found)
            row |= {COLLAPSED: name != CONSTANT and is_constant(prediction), REMARK: remark(prediction, truth, found)}
        except (BadInput, OSError) as error:
            row[FAILURE] = reason_of(error)
        rows.append(row)
    return rows


# One in disparity is one in depth too, and positive in both.
_CONSTANT = Estimator("disparity", lambda image, names: np.ones(image.shape[:2], np.float32), stored=True)


def _seen(case: Case, protocol: Protocol) -> tuple[np.ndarray, Truth]:
    """Return the image that models see of `case`, and what they are measured against."""
    seen = cut(case, protocol)
    truth = truth_of(seen.target, seen.kind, protocol, seen.intrinsics)
    if protocol.corruption == "none":
        return seen.image, truth
    depth = 1 / seen.target if seen.kind == "disparity" else seen.target
    return corrupted(seen.image, depth, protocol.corruption, protocol.severity, seen.key), truth


def example(models: Mapping[str, Estimator], case: Case, table: pd.DataFrame, protocol: Protocol) -> Example:
    """Return what the figure of a case shows: its truth and the depth of every model, aligned as it was measured."""
    image, truth = _seen(case, protocol)
    scores = table[table["key"] == case.key].set_index("model")["abs_rel"]
    aligned = {name: np.full(truth.shape, np.nan) for name in models}
    for name in models:
        if np.isfinite(scores[name]):
            prediction = predicted(models[name], image, (case.key, *case.names), truth.shape, protocol)
            aligned[name] = fit(prediction, truth, models[name].space, protocol).depth(prediction)
    return Example(
        key=case.key,
        image=image,
        depth=truth.map(),
        aligned=aligned,
        scores={name: f"AbsRel {scores[name]:.3f}" if np.isfinite(scores[name]) else "failed" for name in models},
        unit="m" if case.kind == "metric_depth" else "any scale",
    )
