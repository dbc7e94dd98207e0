"""Stage `evaluate_relative@<set>`: zero-shot relative depth of teacher and student on one evaluation set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from depth_model.errors import named
from tasks.settings import params
from tasks.tracking import evaluations, mlflow_runs
from tasks.workspace.paths import MODELS
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.evaluation.estimator import Estimator


def run(place: Workplace, settings: params.Params) -> None:
    """Evaluate teacher and student on the set `place.key`."""
    from depth_model.evaluation import protocols
    from depth_model.evaluation.cases import CollectedCases
    from depth_model.evaluation.results import evaluate_set
    from depth_model.shards.source import SourceFolder

    name, where = place.key, f"sources.evaluation.{place.key}"
    models = _models(settings.evaluation.short_side)
    protocol = protocols.get(settings.sources.evaluation[name].protocol)
    with mlflow_runs.stage_run(place) as run:
        with named(where):
            cases = CollectedCases(SourceFolder(Path("data/evaluation", name)))
        folder, summary = evaluations.details(place), evaluations.summary_file(place)
        evaluate_set(name, where, models, cases, protocol, folder, summary, MODELS[-1])
        evaluations.log(run, place)


def _models(short_side: int) -> dict[str, Estimator]:
    from depth_model.evaluation.estimator import of_predictor
    from depth_model.networks import DepthAnything
    from depth_model.prediction.predictor import DepthPredictor, inference_device

    return {
        model: of_predictor(
            DepthPredictor(DepthAnything.load(Path("models", model)).to(inference_device()), short_side)
        )
        for model in MODELS
    }
