"""Stage `evaluate_metric@<set>`: the metric models on one set, in metres as they are (paper.md 4.2)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import BadInput
from tasks import entry
from tasks.evaluation.evaluated import draw, log, measured, summary_of, write
from tasks.finetune_metric import model_name
from tasks.settings import params
from tasks.tracking import mlflow_runs, registry
from tasks.workspace.work import Workplace, produce

if TYPE_CHECKING:
    from depth_model.evaluation.estimator import Estimator

REPORTS = Path("reports/evaluation/metric")


def _models(settings: params.Params) -> list[str]:
    return [model_name(name) for name in settings.finetune_metric]


def _estimators(names: list[str]) -> dict[str, Estimator]:
    from depth_model.evaluation.adapters.depth_anything_metric import of_metric
    from depth_model.metric.heads.metric_depth import MetricDepth

    return {name: of_metric(MetricDepth.load(Path("models", name))) for name in names}


def _build(place: Workplace, name: str, settings: params.Params) -> None:
    from depth_model.evaluation import protocols
    from depth_model.evaluation.baselines import constant_depth
    from depth_model.evaluation.cases import CollectedCases
    from depth_model.evaluation.harness import CONSTANT
    from depth_model.shards.source import SourceFolder

    wanted = settings.section("evaluate_metric", name)
    names = _models(settings)
    models, protocol = _estimators(names), protocols.get(wanted.protocol)
    if name in settings.finetune_metric:
        learned_from = settings.finetune_metric[name].source
        models[CONSTANT] = constant_depth(SourceFolder(Path("data/metric", learned_from)))
    with mlflow_runs.stage_run(f"evaluate_metric@{name}", wanted.model_dump(), place) as run:
        try:
            cases = CollectedCases(SourceFolder(Path("data/metric", wanted.source)))
        except BadInput as error:
            raise entry.StageError(f"sources.metric.{wanted.source}: {error}") from error
        table, skipped = measured(f"sources.metric.{wanted.source}", models, cases, protocol)
        write(place, summary_of(name, table, skipped, protocol), table)
        main_model = model_name(name) if model_name(name) in names else names[0]
        draw(place, table, models, cases, protocol, main_model)
        log(run, place)


def _judge(name: str, settings: params.Params) -> None:
    """Let the figures of a model on its own set decide on its champion in the registry."""
    model = model_name(name)
    if model not in _models(settings):
        return
    measured = json.loads((REPORTS / f"{name}.json").read_text(encoding="utf-8"))["models"][model]
    for sentence in registry.promote({name: {model: measured}, "mean": {model: measured}}, _evaluated(name, settings)):
        print(sentence)


def _evaluated(name: str, settings: params.Params) -> str:
    """Return the hash of what the models are measured on: figures may be compared only under the same."""
    wanted = settings.section("evaluate_metric", name)
    manifest = files.sha256(Path("data/metric", wanted.source, "manifest.parquet"))
    return files.sha256_of_json({"manifest": manifest, "protocol": wanted.protocol})


def _inputs(name: str, settings: params.Params) -> dict[str, Any]:
    if name in settings.finetune_metric:  # the constant that stands beside the models is that of its training data
        learned_from = Path("data/metric", settings.finetune_metric[name].source, "manifest.parquet")
        return _weights(settings) | {"evaluated": _evaluated(name, settings), "constant": files.sha256(learned_from)}
    return _weights(settings) | {"evaluated": _evaluated(name, settings)}


def _weights(settings: params.Params) -> dict[str, Any]:
    return {model: files.sha256(Path("models", model, "model.safetensors")) for model in _models(settings)}


def main() -> None:
    """Evaluate every metric model on the set that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tasks.evaluate_metric", description=__doc__)
    parser.add_argument("set", help="a name below `evaluate_metric` in params.yaml")
    name = parser.parse_args().set
    settings = params.load()
    settings.section("evaluate_metric", name)
    if not settings.finetune_metric:
        raise entry.StageError("params.yaml: finetune_metric is empty: there is no metric model to evaluate")
    produce(
        f"evaluate_metric@{name}",
        inputs=_inputs(name, settings),
        outs={"details": REPORTS / name, "summary.json": REPORTS / f"{name}.json"},
        build=lambda place: _build(place, name, settings),
    )
    _judge(name, settings)


if __name__ == "__main__":
    entry.run(main)
