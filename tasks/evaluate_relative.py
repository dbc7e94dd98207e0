"""Stage `evaluate_relative@<set>`: zero-shot relative depth of teacher and student on one evaluation set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import BadInput
from tasks import entry
from tasks.evaluation.evaluated import draw, log, measured, summary_of, write
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.workspace.work import Workplace, produce

if TYPE_CHECKING:
    from depth_model.evaluation.estimator import Estimator

MODELS = ("teacher", "student")
REPORTS = Path("reports/evaluation/relative")


def _build(place: Workplace, name: str, settings: params.Params) -> None:
    from depth_model.evaluation import protocols
    from depth_model.evaluation.cases import CollectedCases
    from depth_model.shards.source import SourceFolder

    models = _models(settings.evaluation.short_side)
    protocol = protocols.get(settings.sources.evaluation[name].protocol)
    with mlflow_runs.stage_run(f"evaluate_relative@{name}", _tracked(name, settings), place) as run:
        try:
            cases = CollectedCases(SourceFolder(Path("data/evaluation", name)))
        except BadInput as error:
            raise entry.StageError(f"sources.evaluation.{name}: {error}") from error
        table, skipped = measured(f"sources.evaluation.{name}", models, cases, protocol)
        write(place, summary_of(name, table, skipped, protocol), table)
        draw(place, table, models, cases, protocol, MODELS[-1])
        log(run, place)


def _tracked(name: str, settings: params.Params) -> dict[str, Any]:
    return settings.evaluation.model_dump() | {"protocol": settings.sources.evaluation[name].protocol}


def _models(short_side: int) -> dict[str, Estimator]:
    from depth_model.evaluation.estimator import of_predictor
    from depth_model.networks import DepthAnything
    from depth_model.prediction.predictor import DepthPredictor
    from depth_model.training.loop import best_device

    return {
        model: of_predictor(
            DepthPredictor(DepthAnything.load(Path("models", model)).to(best_device()), short_side)
        )
        for model in MODELS
    }


def main() -> None:
    """Evaluate both models on the set that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tasks.evaluate_relative", description=__doc__)
    parser.add_argument("set", help="a name of sources.evaluation in params.yaml")
    name = parser.parse_args().set
    settings = params.load()
    source = settings.source("evaluation", name)
    produce(
        f"evaluate_relative@{name}",
        inputs={
            "evaluation": settings.evaluation.model_dump(),
            "protocol": source.model_dump(mode="json")["protocol"],
            "manifest": files.sha256(Path("data/evaluation", name, "manifest.parquet")),
            **{model: files.sha256(Path("models", model, "model.safetensors")) for model in MODELS},
        },
        outs={"details": REPORTS / name, "summary.json": REPORTS / f"{name}.json"},
        build=lambda place: _build(place, name, settings),
    )


if __name__ == "__main__":
    entry.run(main)
