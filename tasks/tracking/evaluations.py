"""What the stages of evaluation leave: where in the work folder, and in MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from depth_model import files
from tasks.tracking.mlflow_runs import Run
from tasks.workspace.paths import evaluation_path, summary_path
from tasks.workspace.work import Workplace


def details(workplace: Workplace) -> Path:
    """Return where a stage of evaluation leaves tables and pictures."""
    return workplace.out(evaluation_path(*_reports(workplace)))


def summary_file(workplace: Workplace) -> Path:
    """Return where a stage of evaluation leaves its summary."""
    return workplace.out(summary_path(*_reports(workplace)))


def _reports(workplace: Workplace) -> tuple[str, str]:
    return workplace.stage.partition("@")[0].removeprefix("evaluate_"), workplace.key


def log(run: Run, workplace: Workplace, pictures: Iterable[str] = ("examples.png", "worst.png")) -> None:
    """Log the figures of every model in the summary, and `pictures` of the details."""
    for model, values in files.read_json(summary_file(workplace))["models"].items():
        run.log_metrics({f"{model}/{metric}": value for metric, value in values.items() if value is not None})
    for picture in pictures:
        run.artifact(details(workplace) / picture, "figures")
