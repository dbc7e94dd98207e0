"""Stage `train_teacher`: the teacher, from the labeled catalog and its sky masks (paper 3.1), or a model from elsewhere
that labels in its place (`teacher.model`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from tasks.settings import params
from tasks.tracking import mlflow_runs, registry
from tasks.training import processes
from tasks.training.stage import held_out, pool, tell_origin, train
from tasks.workspace.paths import REFERENCE, given_path
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.training.loop import OnMetrics


def learn(settings: params.Params, key: str, scratch: Path, on_metrics: OnMetrics) -> Any:
    """Return the teacher and the history of its training."""
    from depth_model.training.teacher import train_teacher

    return train_teacher(
        pool("labeled", "sky"),
        settings.encoder.weights,
        settings.teacher,
        settings.training,
        settings.seed,
        scratch,
        on_metrics,
        settings.machine.training,
        held_out(settings, "labeled"),
    )


def run(workplace: Workplace, settings: params.Params) -> None:
    """Train the teacher into models/teacher, also after a kill; or leave the model there that labels instead."""
    if not settings.teacher.model:
        train(workplace, settings, learn)
        return
    with mlflow_runs.stage_run(workplace) as run:
        processes.lead(None)
        _take(files.read_json(given_path("teacher"))["model"], workplace, run)


def _take(given: dict[str, Any], workplace: Workplace, run: mlflow_runs.Run) -> None:
    """Leave a relative Depth Anything as one of ours and register it; of anything else, where it is.

    What evaluation and labeling do with the latter they find in its own folder, which DVC has.
    """
    from depth_model.networks import DepthAnything
    from depth_model.networks.provenance import weights_path

    folder = workplace.out()
    tell_origin(given, folder, run, "model")
    if not given["relative"]:
        files.write_json(folder / REFERENCE.name, given)
        print(f"train_teacher: {given['folder']} labels, as {given['space']}; nothing is trained")
        return
    DepthAnything.load(weights_path(given["folder"]), given["origin"]["version"]).save(folder)
    version = registry.register_model("teacher", folder, run)
    name = registry.registered_name("teacher")
    print(f"train_teacher: {given['folder']} labels; registered as {name} version {version}")
