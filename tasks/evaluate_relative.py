"""Stage `evaluate_relative@<set>`: zero-shot relative depth of teacher and student on one evaluation set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from depth_model.errors import named
from tasks.evaluation.evaluated import draw, log, measured, summary_of, write
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.workspace.paths import MODELS
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.evaluation.estimator import Estimator


def run(place: Workplace, settings: params.Params) -> None:
    """Evaluate teacher and student on the set `place.key`."""
    from depth_model.evaluation import protocols
    from depth_model.evaluation.cases import CollectedCases
    from depth_model.shards.source import SourceFolder

    name = place.key
    models = _models(settings.evaluation.short_side)
    protocol = protocols.get(settings.sources.evaluation[name].protocol)
    with mlflow_runs.stage_run(place) as run:
        with named(f"sources.evaluation.{name}"):
            cases = CollectedCases(SourceFolder(Path("data/evaluation", name)))
        table, skipped = measured(f"sources.evaluation.{name}", models, cases, protocol)
        write(place, summary_of(name, table, skipped, protocol), table)
        draw(place, table, models, cases, protocol, MODELS[-1])
        log(run, place)


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
