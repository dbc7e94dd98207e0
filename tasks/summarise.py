"""Stage `summarise`: the evaluations of all sets in one file and one table, and whether the student got better; moves
the registry alias `champion`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from depth_model import files
from tasks.settings import params
from tasks.tracking import champions, evaluations
from tasks.workspace.paths import COMPARISON, METRICS, MODELS, TABLES, measured_sets, summary_path
from tasks.workspace.work import Workplace

Figures = dict[str, dict[str, dict[str, float]]]


def joined(sets: list[str]) -> Figures:
    """Return set -> model -> metric -> value of `sets`, and under `mean` the plain mean over the sets; {} of none.

    Only metrics that every set measures: the sharpness of boundaries, for one, needs dense truth.
    """
    if not sets:
        return {}
    measured = {name: _summary(name)["models"] for name in sets}
    firsts = [next(iter(models.values())) for models in measured.values()]
    common = [metric for metric in firsts[0] if all(one.get(metric) is not None for one in firsts)]
    figures: Figures = {
        name: {model: {metric: values[metric] for metric in common} for model, values in models.items()}
        for name, models in measured.items()
    }
    models = figures[sets[0]]
    mean = {
        model: {metric: sum(figures[name][model][metric] for name in sets) / len(sets) for metric in models[model]}
        for model in models
    }
    return figures | {"mean": mean}


def _summary(name: str) -> dict[str, Any]:
    return files.read_json(summary_path("relative", name))


def table(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the figures as CSV: a row per set and model, a column per metric."""
    first = next(iter(next(iter(figures.values())).values()))
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["set", "model", *first])
    for name, models in figures.items():
        writer.writerows([name, model, *measured.values()] for model, measured in models.items())
    return lines.getvalue()


def run(workplace: Workplace, settings: params.Params) -> None:
    """Join the evaluations of all sets; where there is none, say in the comparison that nothing was measured."""
    from depth_model.evaluation.verdict import CONSTANT, START, comparison, scores

    figures = joined(measured_sets())
    tables = workplace.out(TABLES)
    files.write_text(tables / "relative.csv", table(figures) if figures else "")
    found = scores(evaluations.tables("relative", measured_sets()))
    teacher, student = MODELS
    compared = comparison(found, student, (START, teacher, CONSTANT), settings.evaluation.minimum_images)
    files.write_json(tables / COMPARISON.name, compared)
    files.write_json(workplace.out(METRICS), figures)


def conclude(key: str, settings: params.Params) -> None:
    """Judge the models in the registry by the figures."""
    for sentence in promoted(settings):
        print(sentence)


def promoted(settings: params.Params) -> list[str]:
    """Let the figures and what is known image by image decide on the champions; return what became of each model."""
    figures = files.read_json(METRICS)
    if not figures:
        return ["nothing was measured: no champion moves"]
    evidence = evaluations.evidence("relative", measured_sets(), MODELS, settings.evaluation.minimum_images)
    return champions.promote(figures, champions.evaluation_hash(), evidence)
