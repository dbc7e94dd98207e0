"""What the stages of evaluation leave: where in the work folder, and in MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from tasks.tracking.champions import Evidence
from tasks.tracking.mlflow_runs import Run
from tasks.workspace.paths import evaluation_path, summary_path
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    import pandas as pd


def details(workplace: Workplace) -> Path:
    """Return where a stage of evaluation leaves tables and pictures."""
    return workplace.out(evaluation_path(*_reports(workplace)))


def summary_file(workplace: Workplace) -> Path:
    """Return where a stage of evaluation leaves its summary."""
    return workplace.out(summary_path(*_reports(workplace)))


def _reports(workplace: Workplace) -> tuple[str, str]:
    kind = workplace.stage.partition("@")[0].removeprefix("evaluate_")
    return (kind, workplace.key) if workplace.key else ("relative", kind)


def tables(kind: str, sets: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the tables of `harness.joined` that the evaluations of `sets` left."""
    import pandas as pd

    return {name: pd.read_parquet(evaluation_path(kind, name) / "per_image.parquet") for name in sets}


def evidence(kind: str, sets: Sequence[str], models: Sequence[str], minimum: int) -> dict[str, Evidence]:
    """Return what the evaluations of `sets` say of each of `models`, image by image; fewer than `minimum` say little.

    The images are none that a model was trained on: the audit leaves those out of training.
    """
    from depth_model.evaluation.verdict import refusal, scores

    found = scores(tables(kind, sets))
    return {
        one: Evidence(refusal(found, one, minimum), found[one].dropna().to_dict()) for one in models if one in found
    }


VERDICT = "verdict.json"


def write_verdict(workplace: Workplace, refusal: str, told: Iterable[str]) -> None:
    """Leave why the model of the set must not become champion, "" for nothing, and in sentences how good it is."""
    files.write_json(details(workplace) / VERDICT, {"refusal": refusal, "told": list(told)})


def read_verdict(kind: str, name: str) -> dict[str, Any] | None:
    """Return the `refusal` and the sentences `told` that `write_verdict` left of a set; None of one without a model."""
    path = evaluation_path(kind, name) / VERDICT
    return files.read_json(path) if path.exists() else None


def learned_from(learned: Path, measured: Path) -> str:
    """Return what speaks against a model that learned from the collected source `learned` and was measured on
    `measured`: images that are in both, byte for byte; "" for nothing."""
    import numpy as np

    from depth_model.shards import manifest

    digests = (
        manifest.read_table(one / manifest.MANIFEST, ["image_digest"])["image_digest"] for one in (learned, measured)
    )
    common = np.intersect1d(*(one.to_numpy() for one in digests))
    return f"it was trained on {len(common)} of the images that it was measured on" if len(common) else ""


def log(run: Run, workplace: Workplace, pictures: Iterable[str] = ("examples.png", "worst.png")) -> None:
    """Log the figures of every model in the summary, and `pictures` of the details."""
    for model, values in files.read_json(summary_file(workplace))["models"].items():
        run.log_metrics({f"{model}/{metric}": value for metric, value in values.items() if value is not None})
    for picture in pictures:
        run.artifact(details(workplace) / picture, "figures")
