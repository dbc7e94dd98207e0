"""What is told of the table of an evaluation: means, intervals, differences, failures, as data and as lines."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_model.errors import UserError
from depth_model.evaluation.bootstrap import compared, intervals
from depth_model.evaluation.harness import COLLAPSED, CONSTANT, FAILURE, REMARK
from depth_model.evaluation.protocols import Protocol, described
from depth_model.metrics.depth import ALL_METRICS

if TYPE_CHECKING:
    import pandas as pd


class NothingEvaluated(UserError):
    """Not a single image counts for a model; the message gives the reasons."""


def summary_of(
    name: str, table: pd.DataFrame, skipped: Sequence[Mapping[str, str]], protocol: Protocol
) -> dict[str, Any]:
    """Return what is told of a table of `harness.joined`: means, bootstrap intervals, every model against the first.

    `failures` counts the images that a model failed on: its means are over the others.
    """
    average = means(table)
    first, *others = [model for model in average if model != CONSTANT]
    return {
        "set": name,
        "images": int(table["key"].nunique()),
        "skipped": list(skipped),
        "failures": {model: count for model, count in _counted(table, FAILURE).items() if model != CONSTANT},
        "constant_predictions": collapsed(table),
        "remarks": _remarks(table),
        "protocol": described(protocol),
        "models": average,
        "intervals": intervals(table),
        "differences": {f"{other} - {first}": compared(table, other, first) for other in others},
    }


def check_evaluated(name: str, table: pd.DataFrame, skipped: Sequence[Mapping[str, str]]) -> None:
    """Raise NothingEvaluated that calls the set `name` and gives reasons when not one image counts for a model."""
    images = table["key"].nunique() + len(skipped)
    refused = [one["reason"] for one in skipped]
    if table.empty:
        raise NothingEvaluated(f"{name}: no image could be measured: {_reasons(refused, images)}")
    for model, rows in table.groupby("model", sort=False):
        if (rows[FAILURE] != "").all():
            reasons = _reasons([*rows[FAILURE], *refused], images)
            raise NothingEvaluated(f"{name}: no image could be measured for {model}: {reasons}")


def _reasons(reasons: Sequence[str], images: int) -> str:
    counts = Counter(reasons).most_common(3)
    return "; ".join(f"{reason} ({count} of {images})" for reason, count in counts) or "the set is empty"


def means(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return model -> metric -> mean over images of a table of `harness.joined`.

    Images where a metric has no value (boundaries, where the truth has none) do not count for it; None when none does.
    """
    keys = [key for key in table.columns if key in ALL_METRICS]
    averages = table.groupby("model", sort=False)[keys].mean()
    return {
        str(name): {key: None if np.isnan(row[key]) else float(row[key]) for key in keys}
        for name, row in averages.iterrows()
    }


def collapsed(table: pd.DataFrame) -> dict[str, int]:
    """Return model -> number of images on which its prediction was one constant, of the models that have some."""
    return {model: count for model, count in _counted(table, COLLAPSED).items() if count}


def _counted(table: pd.DataFrame, column: str) -> dict[str, int]:
    """Return model -> number of images with something in `column`."""
    counts = table[column].astype(bool).groupby(table["model"], sort=False).sum()
    return {str(name): int(count) for name, count in counts.items()}


def _remarks(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return model -> what its predictions look like -> number of images, of the models that have some."""
    made = table[(table[REMARK] != "") & (table["model"] != CONSTANT)]
    return {
        str(name): {str(remark): int(count) for remark, count in rows[REMARK].value_counts().items()}
        for name, rows in made.groupby("model", sort=False)
    }


def summary_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of means and failures, remarks on predictions that are not what they are taken for, the interval
    of the first metric of each model, and the paired differences."""
    models, images = summary["models"], summary["images"]
    width = max(10, *(len(model) + 1 for model in models))
    yield f"{'':{width}}" + "".join(f"{head:>12}" for head in (*next(iter(models.values())), "failed"))
    for model, values in models.items():
        cells = "".join(f"{math.nan if value is None else value:12.4f}" for value in values.values())
        yield f"{model:{width}}{cells}{summary['failures'].get(model, 0):12}"
    yield f"mean over {images} {'image' if images == 1 else 'images'}, {summary['protocol']['name']}"
    for model, remarks in summary["remarks"].items():
        for remark, count in remarks.items():
            yield f"{model}: the prediction looks {remark} on {count} of {images} images"
    for model, values in summary["intervals"].items():
        yield f"{model}: AbsRel {_interval(values['abs_rel'])}"
    for pair, values in summary["differences"].items():
        if values:
            yield f"{pair}: AbsRel {_interval(values['abs_rel'], '+')}, delta1 {_interval(values['delta1'], '+')}"


def _interval(values: Mapping[str, float], sign: str = "") -> str:
    return f"{values['mean']:{sign}.4f} (95 %: {values['low']:{sign}.4f} to {values['high']:{sign}.4f})"
