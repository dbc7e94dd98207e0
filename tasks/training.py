"""What the two training stages share: reading catalogs, one MLflow run, a saved and registered model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from depth_model import files
from tasks import entry, params, processes, register, tracking
from tasks.workspace import Workplace, produce

if TYPE_CHECKING:
    from depth_model.datasets.pool import SamplePool
    from depth_model.networks import DepthAnything
    from depth_model.training.history import History
    from depth_model.training.start import TrainingSettings

    Learn = Callable[[Path, Callable[[int, Mapping[str, float]], None]], tuple[DepthAnything, History]]


def catalog_path(role: str) -> Path:
    """Return where the catalog of `role` lies, relative to the root of the project."""
    return Path("data/catalog", f"{role}.json")


def exclusions_path(role: str) -> Path:
    """Return where the audit lists the samples of `role` to leave out, relative to the root of the project."""
    return Path("data/exclusions", f"{role}.parquet")


def pool(role: str, sidecar: Literal["sky", "pseudo"]) -> SamplePool:
    """Return the samples that the catalog of `role` lists and the audit does not exclude, with their sidecar.

    Raises StageError when there are none, or when the files do not fit the catalog.
    """
    from depth_model.datasets.pool import SamplePool

    catalog = json.loads(catalog_path(role).read_text(encoding="utf-8"))
    try:
        samples = SamplePool(Path("data"), role, catalog, sidecar, exclusions_path(role))
    except ValueError as error:
        raise entry.StageError(str(error)) from error
    if not len(samples):
        raise entry.StageError(
            f"sources.{role} of params.yaml holds no sample that the audit leaves: name a source with images in it"
        )
    return samples


AUDITED = ("labeled", "unlabeled")
"""Roles whose samples the audit may exclude."""
WITHOUT_EFFECT = {"workers", "gradient_checkpointing", "processes"}
"""Parameters of a training that do not change what is learned, but for rounding."""


def training_settings(settings: params.Params) -> TrainingSettings:
    """Return the section `training` of params.yaml as the loop takes it."""
    from depth_model.training.start import TrainingSettings

    return TrainingSettings(**settings.training.model_dump(exclude={"processes"}))


def encoder_inputs(settings: params.Params) -> dict[str, Any]:
    """Return what the fingerprint of a training says of the encoder weights: their name, and the hashes of the file,
    or of those in the folder, that they name."""
    path = Path(settings.encoder.weights)
    read = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path] if path.is_file() else []
    return {"weights": settings.encoder.weights, "sha256": {one.name: files.sha256(one) for one in read}}


def train_stage(
    model: str, used: Mapping[str, Any], settings: params.Params, catalogs: list[str], learn: Learn
) -> None:
    """Run one training stage: `learn(scratch, on_metrics)` gives the model and history of `models/<model>`.

    `used` are the parameters it depends on, `catalogs` the roles it reads. The model is registered when the
    training ends. With `training.processes` above 1 it starts them and waits. Raises StageError for what a user can
    mend.
    """
    stage = f"train_{model}"
    if processes.is_follower():
        processes.follow(learn)
        return
    if settings.training.processes > 1 and not processes.under_torchrun():
        processes.launch(f"tasks.{stage}", settings.training.processes)
        return
    inputs = {
        "parameters": {**used, "training": settings.training.model_dump(exclude=WITHOUT_EFFECT), "seed": settings.seed},
        "encoder": encoder_inputs(settings),
        "catalogs": {role: files.sha256(catalog_path(role)) for role in catalogs},
        "exclusions": {role: files.sha256(exclusions_path(role)) for role in catalogs if role in AUDITED},
    }
    logged = {"seed": settings.seed, "encoder": settings.encoder.model_dump()}
    logged |= {**used, "training": settings.training.model_dump()}

    built: list[Workplace] = []

    def build(place: Workplace) -> None:
        built.append(place)
        with tracking.stage_run(stage, logged, place) as run:
            for role in catalogs:
                run.data_sets(catalog_path(role))
            trained, history = _learned(learn, place, run)
            folder = place.result / "model"
            trained.save(folder)
            history.write(folder / "history.csv")
            version = register.register_model(register.MODELS[model], folder, run)
            print(f"{stage}: registered as {register.MODELS[model]} version {version}")

    produce(stage, inputs=inputs, outs={"model": Path("models", model)}, build=build)
    if not built:
        processes.lead(None)


def _learned(learn: Learn, place: Workplace, run: tracking.Run) -> tuple[DepthAnything, History]:
    from depth_model.networks import BadCheckpoint, BadWeights, PackagedEncoderMissing
    from depth_model.training.divergence import TrainingFailed
    from depth_model.training.processes import ProcessLost

    try:
        processes.lead(place.scratch)
        return learn(place.scratch, run.metric_callback)
    except ProcessLost as error:
        raise entry.StageError(f"another process of the training is gone: {error}") from error
    except (TrainingFailed, BadCheckpoint, BadWeights, PackagedEncoderMissing) as error:
        raise entry.StageError(str(error)) from error
