"""What the stages that train share: their samples, and the run that ends in a registered model.

How a network learns is the business of `depth_model.training`; several processes are that of `processes`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from depth_model import files
from depth_model.errors import UserError
from tasks.settings import params
from tasks.tracking import mlflow_runs, registry
from tasks.training import processes
from tasks.workspace.paths import (
    ENCODER,
    HELD_OUT_OF,
    MODELS,
    catalog_path,
    exclusions_path,
    given_path,
    held_out_path,
)
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.shards.pool import SamplePool
    from depth_model.training.history import History
    from depth_model.training.loop import OnMetrics
    from depth_model.training.validation import HeldOut

    Learn = Callable[[params.Params, str, Path, OnMetrics], tuple[Any, History]]


def pool(
    role: str, sidecar: Literal["sky", "pseudo"], minimum_quality: float = 0.0, class_maps: Collection[str] = ()
) -> SamplePool:
    """Return the samples that the catalog of `role` lists and the audit neither excludes nor holds out, with their
    sidecar, and those of the sources `class_maps` with their classes.

    Says how many pseudo labels score below `minimum_quality` and are left out. Raises UserError when there are no
    samples, or when the files do not fit the catalog.
    """
    catalog = files.read_json(catalog_path(role))
    excluded = exclusions_path(role)
    return _checked_pool(role, f"sources.{role}", catalog, sidecar, excluded, minimum_quality, class_maps)


def source_pool(role: str, name: str) -> SamplePool:
    """Return the samples of one source of `role`, without a sidecar; raises UserError as `pool` does."""
    catalog = files.read_json(catalog_path(role))
    return _checked_pool(role, f"sources.{role}.{name}", {name: catalog[name]}, None, None)


def held_out(settings: params.Params, role: str, name: str | None = None) -> HeldOut | None:
    """Return what trainings on `role`, or on its source `name`, are measured on; None where nothing is held out.

    Says so where `validation.fraction` asks for it. Raises UserError when the files do not fit the catalog.
    """
    from depth_model.shards.pool import SamplePool
    from depth_model.training.validation import HeldOut

    wanted = settings.validation
    if not (wanted.fraction or wanted.sources):
        return None
    catalog = files.read_json(catalog_path(role))
    catalog = catalog if name is None else {name: catalog[name]}
    samples = SamplePool(Path("data"), role, catalog, held_out=held_out_path(role), validation=True)
    if len(samples):
        return HeldOut(samples, wanted)
    if wanted.fraction and not processes.is_follower():
        where = role if name is None else f"{role}/{name}"
        print(f"{where}: nothing could be held out: this training is not validated", file=sys.stderr)
    return None


def _checked_pool(
    role: str,
    where: str,
    catalog: Mapping[str, Any],
    sidecar: Literal["sky", "pseudo"] | None,
    excluded: Path | None,
    minimum_quality: float = 0.0,
    class_maps: Collection[str] = (),
) -> SamplePool:
    from depth_model.shards.pool import SamplePool

    kept = held_out_path(role) if role in HELD_OUT_OF else None
    samples = SamplePool(Path("data"), role, catalog, sidecar, excluded, minimum_quality, kept, class_maps=class_maps)
    if samples.low_quality:
        dropped = ", ".join(f"{name} {count}" for name, count in samples.low_quality.items())
        print(f"{role}: left out for quality below {minimum_quality:g}: {dropped}; {len(samples)} remain")
    if not len(samples):
        raise UserError(f"{where} of params.yaml holds no sample that may be used: name one with images in it")
    return samples


def initial_weights(folder: str) -> str:
    """Return the weights in a folder that `initial` names: the folder, the only file in it, or an encoder's name.

    Such a name is what `resolve_model` leaves of an encoder that needs no file.
    """
    from depth_model.networks.provenance import weights_path

    named = Path(folder, ENCODER)
    return files.read_json(named)["weights"] if named.is_file() else str(weights_path(folder))


def train(workplace: Workplace, settings: params.Params, learn: Learn) -> None:
    """Let `learn(settings, key, scratch, on_metrics)` give the model and the history of the stage, and register it."""
    with mlflow_runs.stage_run(workplace) as run:
        processes.lead(workplace.scratch)
        trained, history = learn(settings, workplace.key, workplace.scratch, run.metric_callback)
        folder, model = workplace.out(), Path(workplace.entry.outs[0]).relative_to("models").as_posix()
        trained.save(folder)
        if model in MODELS and settings.starts_whole(model):
            tell_origin(files.read_json(given_path(model))["initial"], folder, run, "initial")
        history.write(folder / "history.csv")
        version = registry.register_model(model, folder, run)
        print(f"{workplace.stage}: registered as {registry.registered_name(model)} version {version}")


def tell_origin(given: Mapping[str, Any], folder: Path, run: mlflow_runs.Run, what: str) -> None:
    """Leave in the folder of a model, and tell MLflow, where the model is from that it starts from or stands for.

    `given` is the entry `what` of `data/given/<role>.json`.
    """
    from depth_model.networks.provenance import Provenance, write_provenance

    origin = Provenance(**given["origin"])
    write_provenance(folder, origin)
    told = {"folder": given["folder"], "sha256": given["sha256"], "source": origin.source, "license": origin.license}
    for name, value in told.items():
        run.tag(f"{what}.{name}", value)
