"""Stage `summarise`: the evaluations of all sets in one file and one table; moves the registry alias `champion`."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depth_model import files
from tasks import entry
from tasks.evaluate_relative import REPORTS
from tasks.settings import params
from tasks.tracking import registry
from tasks.workspace.work import Workplace, produce

Figures = dict[str, dict[str, dict[str, float]]]


def joined(sets: list[str]) -> Figures:
    """Return set -> model -> metric -> value of `sets`, and under `mean` the plain mean over the sets.

    Only metrics that every set measures: the sharpness of boundaries, for one, needs dense truth.
    """
    measured = {name: _summary(name)["models"] for name in sets}
    firsts = [next(iter(models.values())) for models in measured.values()]
    common = [metric for metric in firsts[0] if all(one.get(metric) is not None for one in firsts)]
    figures: Figures = {
        name: {model: {metric: values[metric] for metric in common} for model, values in models.items()}
        for name, models in measured.items()
    }
    models = figures[sets[0]]
    mean = {
        model: {
            metric: sum(figures[name][model][metric] for name in sets) / len(sets) for metric in models[model]
        }
        for model in models
    }
    return figures | {"mean": mean}


def _summary(name: str) -> dict[str, Any]:
    return json.loads((REPORTS / f"{name}.json").read_text(encoding="utf-8"))


def table(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the figures as CSV: a row per set and model, a column per metric."""
    first = next(iter(next(iter(figures.values())).values()))
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["set", "model", *first])
    for name, models in figures.items():
        writer.writerows([name, model, *measured.values()] for model, measured in models.items())
    return lines.getvalue()


def _build(place: Workplace, sets: list[str]) -> None:
    figures = joined(sets)
    files.write_text(place.result / "tables" / "relative.csv", table(figures))
    files.write_json(place.result / "metrics.json", figures)


def main() -> None:
    """Join the evaluations of the sets that params.yaml lists, and judge the models in the registry by them."""
    argparse.ArgumentParser(prog="python -m tasks.summarise", description=__doc__).parse_args()
    sets = list(params.load().sources.evaluation)
    if not sets:
        raise entry.StageError("params.yaml: sources.evaluation is empty: nothing can be summarised; name a set")
    produce(
        "summarise",
        inputs={name: files.sha256(REPORTS / f"{name}.json") for name in sets},
        outs={"metrics.json": Path("reports/metrics.json"), "tables": Path("reports/tables")},
        build=lambda place: _build(place, sets),
    )
    figures = json.loads(Path("reports/metrics.json").read_text(encoding="utf-8"))
    for sentence in registry.promote(figures, registry.evaluation_hash()):
        print(sentence)


if __name__ == "__main__":
    entry.run(main)
