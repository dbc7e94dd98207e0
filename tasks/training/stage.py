"""What all training stages share: reading catalogs, one MLflow run, a saved and registered model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from depth_model import files
from tasks import entry
from tasks.settings import params
from tasks.tracking import mlflow_runs, registry
from tasks.training import processes
from tasks.workspace.work import Workplace, produce

if TYPE_CHECKING:
    from depth_model.shards.pool import SamplePool
    from depth_model.training.history import History
    from depth_model.training.loop import LoopSettings
    from depth_model.training.start import TrainingSettings

    Learn = Callable[[Path, Callable[[int, Mapping[str, float]], None]], tuple[Any, History]]


def catalog_path(role: str) -> Path:
    """Return where the catalog of `role` lies, relative to the root of the project."""
    return Path("data/catalog", f"{role}.json")


def exclusions_path(role: str) -> Path:
    """Return where the audit lists the samples of `role` to leave out, relative to the root of the project."""
    return Path("data/exclusions", f"{role}.parquet")


def pool(role: str, sidecar: Literal["sky", "pseudo"], minimum_quality: float = 0.0) -> SamplePool:
    """Return the samples that the catalog of `role` lists and the audit does not exclude, with their sidecar.

    Says how many pseudo labels score below `minimum_quality` and are left out. Raises StageError when there are no
    samples, or when the files do not fit the catalog.
    """
    catalog = json.loads(catalog_path(role).read_text(encoding="utf-8"))
    return _checked_pool(role, f"sources.{role}", catalog, sidecar, exclusions_path(role), minimum_quality)


def source_pool(role: str, name: str) -> SamplePool:
    """Return the samples of one source of `role`, without a sidecar; raises StageError as `pool` does."""
    catalog = json.loads(catalog_path(role).read_text(encoding="utf-8"))
    return _checked_pool(role, f"sources.{role}.{name}", {name: catalog[name]}, None, None)


def _checked_pool(
    role: str,
    where: str,
    catalog: Mapping[str, Any],
    sidecar: Literal["sky", "pseudo"] | None,
    excluded: Path | None,
    minimum_quality: float = 0.0,
) -> SamplePool:
    from depth_model.shards.pool import SamplePool

    try:
        samples = SamplePool(Path("data"), role, catalog, sidecar, excluded, minimum_quality)
    except ValueError as error:
        raise entry.StageError(str(error)) from error
    if samples.low_quality:
        dropped = ", ".join(f"{name} {count}" for name, count in samples.low_quality.items())
        print(f"{role}: left out for quality below {minimum_quality:g}: {dropped}; {len(samples)} remain")
    if not len(samples):
        raise entry.StageError(f"{where} of params.yaml holds no sample that may be used: name one with images in it")
    return samples


AUDITED = ("labeled", "unlabeled")
"""Roles whose samples the audit may exclude."""
WITHOUT_EFFECT = {"workers", "gradient_checkpointing", "processes"}
"""Parameters of a training that do not change what is learned, but for rounding."""


def training_settings(settings: params.Params) -> TrainingSettings:
    """Return the section `training` of params.yaml as the loop takes it."""
    from depth_model.training.start import TrainingSettings

    return TrainingSettings(**settings.training.model_dump(exclude={"processes"}))


LOOP = ("workers", "checkpoint_every", "precision", "accumulation", "bad_batch", "largest_skips")
"""Parameters of `training` that fine-tuning takes over too: how the loop is carried out."""


def loop_settings(settings: params.Params) -> LoopSettings:
    """Return what fine-tuning takes over of the section `training` of params.yaml."""
    from depth_model.training.loop import LoopSettings

    return LoopSettings(**settings.training.model_dump(include=set(LOOP)))


def weights_inputs(weights: str) -> dict[str, Any]:
    """Return what the fingerprint of a training says of the weights that it starts from: their name, and the hashes of
    the file, or of those in the folder, that they name."""
    path = Path(weights)
    read = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path] if path.is_file() else []
    return {"weights": weights, "sha256": {one.name: files.sha256(one) for one in read}}


@dataclass(frozen=True)
class TrainingStage:
    """A stage that trains: its `address` in DVC, the folder `models/<model>` it leaves, the roles whose catalogs it
    reads, the encoder `weights` it starts from, and the parameters of `training` that it depends on."""

    address: str
    model: str
    catalogs: Sequence[str]
    weights: str
    training: Mapping[str, Any]

    @property
    def command(self) -> tuple[str, ...]:
        """The module that is this stage, and its arguments."""
        name, _, argument = self.address.partition("@")
        return (f"tasks.{name}", *([argument] if argument else []))


OURS = ("student", "teacher")
"""Names of `initial` that mean a model of this pipeline."""


def initial_weights(initial: str) -> str:
    """Return where the weights lie that `initial` names: a model of the pipeline by its name, else as given."""
    return str(Path("models", initial)) if initial in OURS else initial


def finetuned_model(kind: str, name: str) -> str:
    """Return the folder below `models/` of the model that is fine-tuned under `finetune_<kind>.<name>`."""
    return f"{kind}/{name}"


def finetuning_stage(kind: str, name: str, initial: str, settings: params.Params) -> TrainingStage:
    """Return the stage `finetune_<kind>@<name>`, which reads the catalog of the role `kind`."""
    return TrainingStage(
        f"finetune_{kind}@{name}",
        finetuned_model(kind, name),
        (kind,),
        initial_weights(initial),
        settings.training.model_dump(include=set(LOOP)),
    )


def train_stage(stage: TrainingStage, used: Mapping[str, Any], settings: params.Params, learn: Learn) -> None:
    """Run one training stage: `learn(scratch, on_metrics)` gives the model and history of `models/<model>`.

    `used` are the parameters it depends on, beside those that `stage` names. The model is registered when the
    training ends. With `training.processes` above 1 it starts them and waits. Raises StageError for what a user can
    mend.
    """
    if processes.is_follower():
        processes.follow(learn)
        return
    if settings.training.processes > 1 and not processes.under_torchrun():
        processes.launch(*stage.command, processes=settings.training.processes)
        return
    fixed = {name: value for name, value in stage.training.items() if name not in WITHOUT_EFFECT}
    inputs = {
        "parameters": {**used, "training": fixed, "seed": settings.seed},
        "encoder": weights_inputs(stage.weights),
        "catalogs": {role: files.sha256(catalog_path(role)) for role in stage.catalogs},
        "exclusions": {role: files.sha256(exclusions_path(role)) for role in stage.catalogs if role in AUDITED},
    }
    logged = {"seed": settings.seed, "encoder": {"weights": stage.weights}, **used, "training": dict(stage.training)}
    built: list[Workplace] = []

    def build(place: Workplace) -> None:
        built.append(place)
        with mlflow_runs.stage_run(stage.address, logged, place) as run:
            for role in stage.catalogs:
                run.data_sets(catalog_path(role))
            trained, history = _learned(learn, place, run)
            folder = place.result / "model"
            trained.save(folder)
            history.write(folder / "history.csv")
            version = registry.register_model(stage.model, folder, run)
            print(f"{stage.address}: registered as {registry.registered_name(stage.model)} version {version}")

    produce(stage.address, inputs=inputs, outs={"model": Path("models", stage.model)}, build=build)
    if not built:
        processes.lead(None)


def _learned(learn: Learn, place: Workplace, run: mlflow_runs.Run) -> tuple[Any, History]:
    from depth_model.networks import BadCheckpoint, BadWeights, PackagedEncoderMissing, TransformersMissing
    from depth_model.training.guard import TrainingFailed
    from depth_model.training.processes import ProcessLost

    try:
        processes.lead(place.scratch)
        return learn(place.scratch, run.metric_callback)
    except ProcessLost as error:
        raise entry.StageError(f"another process of the training is gone: {error}") from error
    except (TrainingFailed, BadCheckpoint, BadWeights, PackagedEncoderMissing, TransformersMissing) as error:
        raise entry.StageError(str(error)) from error
