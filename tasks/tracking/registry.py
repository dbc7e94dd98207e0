"""The model registry: one version per set of weights, with what it was made from.

A version is found again by the hash of its weights, so that a stage that repeats itself, or a model restored from
DVC's cache, adds none. `depth-anything register` registers what lies in `models/`, which is needed after DVC restored
the models and no training stage ran. Which version is the champion is the business of `champions`, what a version
carries that of `model_card`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from depth_model import files
from depth_model.errors import UserError
from depth_model.shown import redacted, shown
from tasks.settings import params
from tasks.tracking import mlflow_runs, model_card
from tasks.workspace.entry import locked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import PyFuncModel
    from mlflow.types import Schema

PREFIX = "depth-anything-"
"""Of the names in the registry."""
MODELS_URI = "models:/"
WEIGHTS_TAG = "weights_sha256"
REQUIREMENTS = ("open-depth-anything", "mlflow", "torch", "timm", "numpy", "pandas", "pillow", "safetensors")


def registered_name(model: str) -> str:
    """Return the name in the registry of the model in `models/<model>`; `metric/nyu` is depth-anything-metric-nyu."""
    return f"{PREFIX}{model.replace('/', '-')}"


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
    tags |= model_card.facts(client.get_run(run_id), folder)
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
    model_card.keep_what_it_was_made_from(client, run_id)
    model_card.write(client, name, logged.registered_model_version)
    return str(logged.registered_model_version)


def register_files(model: str, folder: Path, weights: str, run: mlflow_runs.Run) -> str:
    """Return the version of the registered `model` that holds the files of `folder` as they are, made if there is none:
    for what is used by other programs. `weights` is the SHA-256 of its weights."""
    from mlflow.exceptions import MlflowException

    client, name = mlflow_runs.connect(), registered_name(model)
    run.tag(WEIGHTS_TAG, weights)
    if found := find_version(client, name, weights):
        return str(found.version)
    run.artifact(folder, "model")
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run.id).info.artifact_uri}/model"
    return str(client.create_model_version(name, source, run.id, tags={WEIGHTS_TAG: weights}).version)


def registered_names() -> list[str]:
    """Return `models:/NAME@ALIAS` for every alias of the registry, none where there is no registry."""
    if not _is_there(mlflow_runs.tracking_uri()):
        return []
    found = mlflow_runs.connect().search_registered_models()
    return [f"{MODELS_URI}{one.name}@{alias}" for one in found for alias in one.aliases]


def _is_there(uri: str) -> bool:
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


def registered_folder(name: str) -> Path:
    """Return the folder of a model of the registry, `models:/NAME@ALIAS`; raises UserError when it cannot be had."""
    return _found(name)[1]


def registered_pyfunc(name: str) -> PyFuncModel:
    """Return a model of the registry as MLflow loads it, but with the code of this package: what the registry holds is
    weights and a signature to us, and runs nothing. Raises UserError as `registered_folder` does."""
    from mlflow.pyfunc import PyFuncModel, PythonModelContext

    stored, folder = _found(name)
    code = Path(str(stored.flavors["python_function"].get("model_code_path"))).name  # whole where it was registered
    if code not in {kind.code for kind in (RELATIVE, *KINDS.values())}:
        raise UserError(f"{name}: was not registered by this pipeline (its code is {shown(code)})")
    context = PythonModelContext({"model": str(folder)}, None)
    ours = import_module(f"tasks.tracking.{Path(code).stem}").MODEL
    ours.load_context(context)
    return PyFuncModel(stored, SimpleNamespace(predict=partial(ours.predict, context)))


def _found(name: str) -> tuple[Model, Path]:
    """Return what MLflow knows of a model of the registry, and the folder of its weights."""
    uri = mlflow_runs.tracking_uri()
    if not name.startswith(MODELS_URI):
        raise UserError(f"{shown(name)}: must be {MODELS_URI}NAME@ALIAS or {MODELS_URI}NAME/VERSION")
    if not _is_there(uri):
        raise UserError(
            f"{name}: there is no registry at {redacted(uri)}; run in the project's folder, or set MLFLOW_TRACKING_URI"
        )
    mlflow_runs.connect()
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        stored = Path(mlflow.artifacts.download_artifacts(artifact_uri=name))
        model = mlflow.models.Model.load(str(stored))
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name}: not found at {redacted(uri)}: {reason}") from error
    return model, _weights_folder(name, stored, model)


def _weights_folder(name: str, stored: Path, model: Model) -> Path:
    weights = model.flavors.get("python_function", {}).get("artifacts", {}).get("model")
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
    return KINDS.get(model.partition("/")[0], RELATIVE)


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


RELATIVE = Kind("registered_model.py", _relative_signature)
KINDS = {
    "metric": Kind("registered_metric_model.py", _metric_signature),
    "semantic": Kind("registered_semantic_model.py", _semantic_signature, "miou", "mIoU", higher_is_better=True),
}
"""Kinds of fine-tuned models, by the folder in `models/` that holds one for every set."""


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
    if made := locked(folder.as_posix()):
        mlflow_runs.log_entry(client, run.info.run_id, made)
    _add_version(client, model, folder, weights, run.info.run_id)
    client.set_terminated(run.info.run_id)
