"""Every model on every image of a set, by one protocol: a row per image and model, and means over images.

Where predictions are aligned, a constant prediction, aligned like any other, is measured beside the models: what a
model must beat to have seen anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_model.errors import BadInput, named
from depth_model.evaluation.cases import Case, Cases
from depth_model.evaluation.estimator import Estimator, cut, predicted
from depth_model.evaluation.figures import Example
from depth_model.evaluation.fitting import fit
from depth_model.evaluation.measuring import measured, metrics_of
from depth_model.evaluation.protocols import Protocol
from depth_model.evaluation.truth import Truth, measurable
from depth_model.metrics.alignment import is_constant
from depth_model.metrics.depth import ALL_METRICS

if TYPE_CHECKING:
    import pandas as pd

CONSTANT = "constant"
COLLAPSED = "constant_prediction"


def evaluate(
    models: Mapping[str, Estimator], cases: Cases, protocol: Protocol, progress: Callable[[], None]
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Measure `models` and, for relative depth, the constant on every case; `progress()` is called after each.

    Returns a row per image and model (key, model, the metrics, and whether the prediction was one constant, as that
    of a dead model is) and the images that could not be measured (key, reason), which count for no model.
    Raises ValueError for metric depth by a model that does not give metres.
    """
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for index in range(len(cases)):
        try:
            rows += image_rows(models, cases.load(index), protocol)
        except (BadInput, OSError) as error:
            skipped.append({"key": cases.key(index), "reason": reason_of(error)})
        progress()
    return table_of(rows, protocol), skipped


def evaluate_metric(
    models: Mapping[str, Estimator], cases: Cases, protocol: Protocol, progress: Callable[[], None] = lambda: None
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Measure metric `models` (estimators whose space is "metric_depth") as `evaluate` does; nothing is aligned.

    Raises ValueError for a protocol that aligns.
    """
    if not protocol.is_metric:
        raise ValueError(f"{protocol.name} aligns in {protocol.alignment}: it is no protocol of metric depth")
    return evaluate(models, cases, protocol, progress)


def reason_of(error: BadInput | OSError) -> str:
    """Return in one line why an image could not be measured."""
    return str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error.strerror or error}"


def table_of(rows: Iterable[Mapping[str, Any]], protocol: Protocol) -> pd.DataFrame:
    """Return the rows of `image_rows` as a table with the columns that `protocol` measures."""
    import pandas as pd

    return pd.DataFrame(rows, columns=["key", "model", *(metric.key for metric in metrics_of(protocol)), COLLAPSED])


def image_rows(models: Mapping[str, Estimator], case: Case, protocol: Protocol) -> list[dict[str, Any]]:
    """Return a row per model, and for relative depth one of the constant; raises BadInput that names the model."""
    image, truth = _seen(case, protocol)
    rows = []
    for name, space, prediction in _predictions(models, image, case.key, truth, protocol):
        with named(name):
            values = measured(prediction, truth, space, protocol)
        dead = name != CONSTANT and is_constant(prediction)
        rows.append({"key": case.key, "model": name, **values, COLLAPSED: dead})
    return rows


def _seen(case: Case, protocol: Protocol) -> tuple[np.ndarray, Truth]:
    image, target = cut(case.image, case.target, protocol)
    return image, measurable(target, case.kind, protocol)


def _predictions(
    models: Mapping[str, Estimator], image: np.ndarray, key: str, truth: Truth, protocol: Protocol
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield (name, space, prediction at the size of the truth) of the models and of the constant."""
    for name, model in models.items():
        yield name, model.space, predicted(model, image, key, truth.shape, protocol)
    if not protocol.is_metric:
        # One in disparity is one in depth too, and positive in both.
        yield CONSTANT, "disparity", np.ones(truth.shape, np.float32)


def means(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return model -> metric -> mean over images of the table that `evaluate` returns.

    Images where a metric has no value (boundaries, where the truth has none) do not count for it; None when none does.
    """
    keys = [key for key in table.columns if key in ALL_METRICS]
    averages = table.groupby("model", sort=False)[keys].mean()
    return {str(name): {key: _number(row[key]) for key in keys} for name, row in averages.iterrows()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def collapsed(table: pd.DataFrame) -> dict[str, int]:
    """Return model -> number of images on which its prediction was one constant, of the models that have some."""
    counts = table.groupby("model", sort=False)[COLLAPSED].sum()
    return {str(name): int(count) for name, count in counts.items() if count}


def chosen_examples(table: pd.DataFrame, model: str, count: int) -> list[str]:
    """Return at most `count` keys of `table` from the best to the worst AbsRel of `model`, evenly spaced in rank."""
    ranked = _ranked(table, model)
    places = np.unique(np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int))
    return [ranked[place] for place in places]


def worst(table: pd.DataFrame, model: str, count: int) -> list[str]:
    """Return the keys of the `count` images with the highest AbsRel of `model`, the worst first."""
    return _ranked(table, model)[::-1][:count]


def _ranked(table: pd.DataFrame, model: str) -> list[str]:
    return table[table["model"] == model].sort_values(["abs_rel", "key"])["key"].tolist()


def example(models: Mapping[str, Estimator], case: Case, table: pd.DataFrame, protocol: Protocol) -> Example:
    """Return what the figure of a case shows: its truth and the depth of every model, aligned as it was measured."""
    image, truth = _seen(case, protocol)
    aligned = {
        name: fit(prediction, truth, space, protocol).depth(prediction)
        for name, space, prediction in _predictions(models, image, case.key, truth, protocol)
        if name in models
    }
    scores = table[table["key"] == case.key].set_index("model")["abs_rel"]
    return Example(
        key=case.key,
        image=image,
        depth=truth.map(),
        aligned=aligned,
        scores={name: f"AbsRel {scores[name]:.3f}" for name in models},
        unit="m" if case.kind == "metric_depth" else "any scale",
    )
