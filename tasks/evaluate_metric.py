"""Stage `evaluate_metric@<set>`: the metric models on one set, in meters as they are (docs/paper.md 4.2)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from depth_model import files
from depth_model.errors import UserError, named
from tasks.settings import params
from tasks.tracking import champions, evaluations, mlflow_runs
from tasks.workspace.paths import summary_path
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.prediction.estimator import Estimator


def run(workplace: Workplace, settings: params.Params) -> None:
    """Evaluate every metric model on the set `workplace.key`; raises UserError when there is none."""
    from depth_model.evaluation import protocols
    from depth_model.evaluation.baselines import constant_depth
    from depth_model.evaluation.cases import CollectedCases
    from depth_model.evaluation.harness import CONSTANT
    from depth_model.evaluation.results import evaluate_set
    from depth_model.shards.source import SourceFolder

    name, wanted = workplace.key, settings.section("evaluate_metric", workplace.key)
    names, where = _models(settings), f"sources.metric.{wanted.source}"
    if not names:
        raise UserError("params.yaml: finetune_metric is empty: there is no metric model to evaluate")
    models, protocol = _estimators(names), protocols.get(wanted.protocol)
    if name in settings.finetune_metric:
        learned_from = settings.finetune_metric[name].source
        models[CONSTANT] = constant_depth(SourceFolder(Path("data/metric", learned_from)))
    with mlflow_runs.stage_run(workplace) as run:
        with named(where):
            cases = CollectedCases(SourceFolder(Path("data/metric", wanted.source)))
        main = f"metric/{name}" if f"metric/{name}" in names else names[0]
        folder, summary = evaluations.details(workplace), evaluations.summary_file(workplace)
        evaluate_set(name, where, models, cases, protocol, folder, summary, main)
        evaluations.log(run, workplace)
        if main == f"metric/{name}":
            _write_verdict(workplace, folder, main, settings)


def _write_verdict(workplace: Workplace, folder: Path, model: str, settings: params.Params) -> None:
    import pandas as pd

    from depth_model.evaluation.verdict import CONSTANT, comparison, scores, told

    learned, measured = (getattr(settings, one)[workplace.key].source for one in ("finetune_metric", "evaluate_metric"))
    found = scores({workplace.key: pd.read_parquet(folder / "per_image.parquet")})
    compared = comparison(found, model, (CONSTANT,), settings.evaluation.minimum_images)
    leaked = evaluations.learned_from(Path("data/metric", learned), Path("data/metric", measured))
    compared["refusal"] = leaked or compared["refusal"]
    evaluations.write_verdict(workplace, compared["refusal"], told(compared))


def conclude(key: str, settings: params.Params) -> None:
    """Let the figures of a model on its own set decide on its champion in the registry."""
    model, verdict = f"metric/{key}", evaluations.read_verdict("metric", key)
    if verdict is None:
        return
    figures = {model: files.read_json(summary_path("metric", key))["models"][model]}
    evidence = evaluations.evidence("metric", [key], [model], settings.evaluation.minimum_images)
    evidence[model] = champions.Evidence(verdict["refusal"], evidence[model].scores)
    for sentence in champions.promote({key: figures, "mean": figures}, _evaluated(key, settings), evidence):
        print(sentence)


def _evaluated(name: str, settings: params.Params) -> str:
    """Return the hash of what the models are measured on: figures may be compared only under the same."""
    wanted = settings.section("evaluate_metric", name)
    manifest = files.sha256(Path("data/metric", wanted.source, "manifest.parquet"))
    return files.sha256_of_json({"manifest": manifest, "protocol": wanted.protocol})


def _models(settings: params.Params) -> list[str]:
    return [f"metric/{name}" for name in settings.finetune_metric]


def _estimators(names: list[str]) -> dict[str, Estimator]:
    from depth_model.metric.heads.metric_depth import MetricDepth
    from depth_model.metric.prediction.estimator import of_metric

    return {name: of_metric(MetricDepth.load(Path("models", name))) for name in names}
