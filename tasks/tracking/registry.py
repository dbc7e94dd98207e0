"""The model registry: one version per set of weights, and the alias `champion` on the best of them.

A version is found again by the hash of its weights, so that a stage that repeats itself, or a model restored from
DVC's cache, adds none. `depth-anything register` registers what lies in `models/`, which is needed after DVC restored
the models and no training stage ran.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import UserError
from depth_model.shown import redacted
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.workspace.paths import HELD_OUT, catalog_path, held_out_path, measured_sets

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

CHAMPION = "champion"
WEIGHTS_TAG = "weights_sha256"
REQUIREMENTS = ("open-depth-anything", "mlflow", "torch", "timm", "numpy", "pandas", "pillow", "safetensors")


def registered_name(model: str) -> str:
    """Return the name in the registry of the model in `models/<model>`; `metric/nyu` is depth-anything-metric-nyu."""
    return f"depth-anything-{model.replace('/', '-')}"


def register_model(model: str, folder: Path, run: mlflow_runs.Run) -> str:
    """Return the version of the registered `model` that holds the weights of `folder`; made if there is none.

    `folder` holds config.json and model.safetensors. `run`, the training run, is tagged with the weights' hash.
    """
    client = mlflow_runs.connect()
    weights = files.sha256(folder / "model.safetensors")
    run.tag(WEIGHTS_TAG, weights)
    found = find_version(client, registered_name(model), weights)
    return str(found.version) if found else _add_version(client, model, folder, weights, run.id)


def find_version(client: MlflowClient, name: str, weights: str) -> ModelVersion | None:
    """Return the version of `name` whose weights have the SHA-256 `weights`, the oldest if there are several."""
    found = client.search_model_versions(f"name = '{name}' and tags.{WEIGHTS_TAG} = '{weights}'")
    return min(found, key=lambda version: int(version.version), default=None)


def _add_version(client: MlflowClient, model: str, folder: Path, weights: str, run_id: str) -> str:
    import mlflow

    name, kind = registered_name(model), registered_kind(model)
    tags = {WEIGHTS_TAG: weights, "pipeline": "experiment" if os.environ.get("DVC_EXP_NAME") else "workspace"}
    with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
        # An example image would be run through the model at every registration; the signature says it all.
        warnings.filterwarnings("ignore", ".*An input example was not provided")
        logged = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(Path(__file__).with_name(kind.code)),
            artifacts={"model": str(folder)},
            signature=kind.signature(),
            pip_requirements=[f"{package}=={installed_version(package)}" for package in _requirements(folder)],
            registered_model_name=name,
            tags=tags,
        )
    client.update_run(run_id, status="RUNNING")  # leaving start_run called it finished
    return str(logged.registered_model_version)


def registered_names() -> list[str]:
    """Return `models:/NAME@ALIAS` for every alias of the registry, none where there is no registry."""
    if not _is_there(mlflow_runs.tracking_uri()):
        return []
    found = mlflow_runs.connect().search_registered_models()
    return [f"models:/{one.name}@{alias}" for one in found for alias in one.aliases]


def _is_there(uri: str) -> bool:
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


def registered_folder(name: str) -> Path:
    """Return the folder of a model of the registry, `models:/NAME@ALIAS`; raises UserError when it cannot be had."""
    uri = mlflow_runs.tracking_uri()
    if not _is_there(uri):
        raise UserError(
            f"{name}: there is no registry at {redacted(uri)}; run in the project's folder, or set MLFLOW_TRACKING_URI"
        )
    mlflow_runs.connect()
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        stored = Path(mlflow.artifacts.download_artifacts(artifact_uri=name))
        flavors = mlflow.models.Model.load(str(stored)).flavors
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name}: not found at {redacted(uri)}: {reason}") from error
    weights = flavors.get("python_function", {}).get("artifacts", {}).get("model")
    if weights is None:
        raise UserError(f"{name}: was not registered by this pipeline (no artifact 'model')")
    folder = (stored / str(weights["path"])).resolve()
    if not folder.is_relative_to(stored.resolve()):
        raise UserError(f"{name}: its entry in the registry names a folder outside the model: {weights['path']}")
    return folder


def _requirements(folder: Path) -> tuple[str, ...]:
    config = files.read_json(folder / "config.json")
    return (*REQUIREMENTS, "transformers", "scipy") if {"mask2former", "midas"} & set(config) else REQUIREMENTS


@dataclass(frozen=True)
class Kind:
    """What the registry holds of a kind of model: the `code` beside the weights, a file of this package, and the
    signature; and by which metric, called `title`, the champion is chosen."""

    code: str
    signature: Callable[[], ModelSignature]
    metric: str = "abs_rel"
    title: str = "AbsRel"
    higher_is_better: bool = False


def registered_kind(model: str) -> Kind:
    """Return the kind of the model in `models/<model>`, which its name tells."""
    return KINDS.get(model.partition("/")[0], Kind("registered_model.py", _relative_signature))


def _relative_signature() -> ModelSignature:
    # The default of short_side is what the pipeline evaluates with; who loads the model may ask for another.
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec

    parameters = ParamSchema([ParamSpec("short_side", "long", params.load().evaluation.short_side)])
    return ModelSignature(inputs=_images(), outputs=_raster("disparity"), params=parameters)


def _metric_signature() -> ModelSignature:
    from mlflow.models import ModelSignature

    return ModelSignature(inputs=_images(), outputs=_raster("depth"))


def _images() -> Schema:
    from mlflow.types import ColSpec, Schema

    return Schema([ColSpec("binary", "image")])


def _raster(name: str) -> Schema:
    from mlflow.types import ColSpec, Schema

    return Schema([ColSpec("binary", name), ColSpec("long", "height"), ColSpec("long", "width")])


def _semantic_signature() -> ModelSignature:
    from mlflow.models import ModelSignature

    return ModelSignature(inputs=_images(), outputs=_raster("labels"))


KINDS = {
    "metric": Kind("registered_metric_model.py", _metric_signature),
    "semantic": Kind("registered_semantic_model.py", _semantic_signature, "miou", "mIoU", higher_is_better=True),
}
"""Kinds of fine-tuned models, by the folder in `models/` that holds one for every set."""


def evaluation_hash() -> str:
    """Return the hash of what models are measured on: the evaluation catalog, the held-out images and the parameters.

    Figures of two models may be compared only under the same hash.
    """
    catalog, short_side = files.read_json(catalog_path("evaluation")), params.load().evaluation.short_side
    held_out = files.sha256(held_out_path("labeled")) if HELD_OUT in measured_sets() else None
    given = {"catalog": catalog, "evaluation": {"short_side": short_side}}
    return files.sha256_of_json(given | ({"held_out": held_out} if held_out else {}))


@dataclass(frozen=True)
class Evidence:
    """What is known of a model beside its mean: why it must not become champion, "" for nothing, and its AbsRel by
    image (`set/key`), empty where only all images together are measured."""

    refusal: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)


def promote(
    evaluation: Mapping[str, Mapping[str, Mapping[str, float]]], evaluation_hash: str, evidence: Mapping[str, Evidence]
) -> list[str]:
    """Judge the models in `models/` by the mean of their metric; return one sentence per model on what became of it.

    `evaluation` is the content of reports/metrics.json: set (and `mean`) -> model -> metric -> value. The figures
    are written onto the training run of each model, the mean onto its version, the scores by image of its `evidence`
    beside it. The alias `champion` moves to a version against which its evidence has nothing, and that is better than
    the champion under the same `evaluation_hash`: image by image, with a bootstrap interval without 0, or by the mean
    where there are no scores. Experiments never move it.
    """
    client = mlflow_runs.connect()
    present = [model for model in evaluation["mean"] if (Path("models") / model / "model.safetensors").exists()]
    return [_judge(client, model, evaluation, evaluation_hash, evidence[model]) for model in present]


def _judge(
    client: MlflowClient, model: str, evaluation: Mapping[str, Any], evaluation_hash: str, evidence: Evidence
) -> str:
    version = version_of_folder(client, model)
    for run in _runs_of(client, version.tags[WEIGHTS_TAG]):
        _write_metrics(client, run, model, evaluation, evaluation_hash)
    kind = registered_kind(model)
    score = float(evaluation["mean"][model][kind.metric])
    if evidence.scores:
        client.log_text(version.run_id, json.dumps(dict(evidence.scores)), _scores_file(evaluation_hash))
    client.set_model_version_tag(version.name, version.version, _score_tag(kind, evaluation_hash), repr(score))
    return _move_champion(client, version, kind, score, evaluation_hash, evidence)


def _scores_file(evaluation_hash: str) -> str:
    return f"scores/{evaluation_hash[:16]}.json"


def _score_tag(kind: Kind, evaluation_hash: str) -> str:
    return f"mean_{kind.metric}.{evaluation_hash[:16]}"


def version_of_folder(client: MlflowClient, model: str) -> ModelVersion:
    """Return the version with the weights of models/<model>, registered now if DVC restored them from its cache."""
    folder, name = Path("models") / model, registered_name(model)
    weights = files.sha256(folder / "model.safetensors")
    found = find_version(client, name, weights)
    if found is None:
        _register_without_training(client, model, folder, weights)
        found = find_version(client, name, weights)
    return found


def _register_without_training(client: MlflowClient, model: str, folder: Path, weights: str) -> None:
    tags = mlflow_runs.run_tags("register", "") | {WEIGHTS_TAG: weights}
    experiment = mlflow_runs.experiment_id(client)
    run = client.create_run(experiment, run_name=f"register-{model}", tags=tags)
    _add_version(client, model, folder, weights, run.info.run_id)
    client.set_terminated(run.info.run_id)


def _runs_of(client: MlflowClient, weights: str) -> list[Any]:
    return client.search_runs([mlflow_runs.experiment_id(client)], f"tags.{WEIGHTS_TAG} = '{weights}'")


def _write_metrics(
    client: MlflowClient, run: Any, model: str, evaluation: Mapping[str, Any], evaluation_hash: str
) -> None:
    for name, models in evaluation.items():
        for metric, value in models.get(model, {}).items():
            key = f"evaluation/{name}/{metric}"
            if run.data.metrics.get(key) != value:
                client.log_metric(run.info.run_id, key, value)
    client.set_tag(run.info.run_id, "evaluation_hash", evaluation_hash)


def _move_champion(
    client: MlflowClient, version: ModelVersion, kind: Kind, score: float, evaluation_hash: str, evidence: Evidence
) -> str:
    name, this = version.name, f"{version.name} version {version.version} (mean {kind.title} {score:.4f})"
    champion = client.get_registered_model(name).aliases.get(CHAMPION)
    if champion is not None and str(champion) == str(version.version):
        return f"{this} is the champion" + (f", although {evidence.refusal}" if evidence.refusal else "")
    if os.environ.get("DVC_EXP_NAME"):
        return f"{this} belongs to experiment {os.environ['DVC_EXP_NAME']}: experiments never move the champion"
    if evidence.refusal:
        return f"{this} does not become the champion: {evidence.refusal}"
    reason = "there was none"
    if champion is not None:
        rival = client.get_model_version(name, champion)
        if _score_tag(kind, evaluation_hash) not in rival.tags:
            return (
                f"{this} is not compared: version {champion}, the champion, was never measured on these evaluation "
                "sets; to choose this one, set the alias in the MLflow UI"
            )
        its_score = float(rival.tags[_score_tag(kind, evaluation_hash)])
        better, told = _compared(client, rival, kind, score - its_score, evaluation_hash, evidence)
        its = f"version {champion} (mean {kind.title} {its_score:.4f}){told}"
        if not better:
            return f"{this} is not better than {its}, which stays the champion"
        reason = f"better than {its}"
    client.set_registered_model_alias(name, CHAMPION, version.version)
    return f"{this} is the champion now: {reason}"


def _compared(
    client: MlflowClient, rival: ModelVersion, kind: Kind, difference: float, evaluation_hash: str, evidence: Evidence
) -> tuple[bool, str]:
    """Return whether a model is better than its `rival`, image by image where scores are known, and in what words."""
    if not evidence.scores:
        return (difference > 0 if kind.higher_is_better else difference < 0), ""
    import mlflow
    import pandas as pd

    from depth_model.evaluation.verdict import BETTER, sentence, verdict

    stored = mlflow.artifacts.load_text(f"runs:/{rival.run_id}/{_scores_file(evaluation_hash)}")
    found = verdict(pd.Series(evidence.scores), pd.Series(json.loads(stored)), minimum=1)
    return found.outcome == BETTER, f", {sentence(found)}"
