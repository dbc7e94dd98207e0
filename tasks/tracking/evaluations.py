"""What the stages of evaluation leave: where in the work folder, and in MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from depth_model import files
from tasks.tracking.mlflow_runs import Run
from tasks.workspace.paths import evaluation_path, summary_path
from tasks.workspace.work import Workplace


def details(place: Workplace) -> Path:
    """Return where a stage of evaluation leaves tables and pictures."""
    return place.out(evaluation_path(*_reports(place)))


def summary_file(place: Workplace) -> Path:
    """Return where a stage of evaluation leaves its summary."""
    return place.out(summary_path(*_reports(place)))


def _reports(place: Workplace) -> tuple[str, str]:
    return place.stage.partition("@")[0].removeprefix("evaluate_"), place.key


def log(run: Run, place: Workplace, pictures: Iterable[str] = ("examples.png", "worst.png")) -> None:
    """Log the figures of every model in the summary, and `pictures` of the details."""
    for model, values in files.read_json(summary_file(place))["models"].items():
        run.log_metrics({f"{model}/{metric}": value for metric, value in values.items() if value is not None})
    for picture in pictures:
        run.artifact(details(place) / picture, "figures")
