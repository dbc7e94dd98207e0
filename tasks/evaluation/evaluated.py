"""What the evaluations of depth share: measuring models on one set, what is told of it, its pictures, its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import UserError
from tasks.tracking import mlflow_runs
from tasks.workspace.paths import evaluation_path, summary_path

if TYPE_CHECKING:
    import pandas as pd

    from depth_model.evaluation.cases import Cases
    from depth_model.evaluation.estimator import Estimator
    from depth_model.evaluation.protocols import Protocol
    from tasks.workspace.work import Workplace

EXAMPLES, WORST = 4, 20


def details(place: Workplace) -> Path:
    """Return where a stage of evaluation leaves tables and pictures."""
    return place.out(evaluation_path(*_reports(place)))


def summary_file(place: Workplace) -> Path:
    """Return where a stage of evaluation leaves its summary."""
    return place.out(summary_path(*_reports(place)))


def _reports(place: Workplace) -> tuple[str, str]:
    return place.stage.partition("@")[0].removeprefix("evaluate_"), place.key


def measured(
    name: str, models: Mapping[str, Estimator], cases: Cases, protocol: Protocol
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return what `depth_model.evaluation.harness.evaluate` does, with progress on stderr.

    Raises UserError that calls the set `name` when not a single image could be measured.
    """
    from depth_model.evaluation.harness import evaluate
    from depth_model.progress import progress_bar

    with progress_bar(f"evaluate {name.rpartition('.')[2]}", len(cases), "images") as bar:
        table, skipped = evaluate(models, cases, protocol, bar.update)
    check_measured(name, table, skipped, len(cases))
    return table, skipped


def check_measured(name: str, table: pd.DataFrame, skipped: list[dict[str, str]], images: int) -> None:
    """Raise UserError that calls the set `name` and gives reasons when `table` holds no image."""
    if table.empty:
        counts = Counter(one["reason"] for one in skipped).most_common(3)
        reasons = "; ".join(f"{reason} ({count} of {images})" for reason, count in counts) or "the set is empty"
        raise UserError(f"{name}: no image could be measured: {reasons}")


def summary_of(
    name: str, table: pd.DataFrame, skipped: list[dict[str, str]], protocol: Protocol
) -> dict[str, Any]:
    """Return what is told of a table: means, bootstrap intervals, and every model against the first."""
    from depth_model.evaluation.harness import CONSTANT, collapsed, means
    from depth_model.evaluation.protocols import described
    from depth_model.metrics.bootstrap import compared, intervals

    average = means(table)
    first, *others = [model for model in average if model != CONSTANT]
    return {
        "set": name,
        "images": int(table["key"].nunique()),
        "skipped": skipped,
        "constant_predictions": collapsed(table),
        "protocol": described(protocol),
        "models": average,
        "intervals": intervals(table),
        "differences": {f"{other} - {first}": compared(table, other, first) for other in others},
    }


def write(place: Workplace, summary: dict[str, Any], table: pd.DataFrame) -> None:
    """Leave the table of a set and its summary in the result of the stage."""
    folder = details(place)
    folder.mkdir(exist_ok=True)
    table.to_parquet(folder / "per_image.parquet", index=False)
    files.write_json(summary_file(place), summary)


def draw(
    place: Workplace,
    table: pd.DataFrame,
    models: dict[str, Estimator],
    cases: Cases,
    protocol: Protocol,
    main_model: str,
) -> None:
    """Leave the pictures of a set in the result of the stage: examples in rank order of `main_model`, and its worst."""
    from depth_model.evaluation.figures import examples_figure
    from depth_model.evaluation.harness import chosen_examples, example, worst

    places = {cases.key(index): index for index in range(len(cases))}
    chosen = {
        "examples.png": chosen_examples(table, main_model, EXAMPLES),
        "worst.png": worst(table, main_model, WORST),
    }
    for name, keys in chosen.items():
        shown = [example(models, cases.load(places[key]), table, protocol) for key in keys]
        files.write_bytes(details(place) / name, examples_figure(shown))


def log(run: mlflow_runs.Run, place: Workplace) -> None:
    """Log the means of the set and its pictures."""
    summary = files.read_json(summary_file(place))
    for model, measured in summary["models"].items():
        run.log_metrics({f"{model}/{metric}": value for metric, value in measured.items() if value is not None})
    for figure in ("examples.png", "worst.png"):
        run.artifact(details(place) / figure, "figures")
