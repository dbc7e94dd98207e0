"""Stage `pseudo_label@<name>`: the teacher's disparity of every clean image of one unlabeled source (equation 4)."""

from __future__ import annotations

import time
from pathlib import Path

from depth_model import files
from depth_model.errors import UserError
from depth_model.pseudo_label.settings import LabelSettings
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.workspace import parts
from tasks.workspace.paths import TEACHER, teacher_folder
from tasks.workspace.work import Workplace

WEIGHTS = "model.safetensors"


def _teachers(chosen: LabelSettings) -> dict[Path, float]:
    """Return the folders of all teachers, each with its weight; raises UserError for one that is not there."""
    weights = {str(TEACHER): 1.0} | chosen.teachers
    folders = {
        (TEACHER if path == str(TEACHER) else mlflow_runs.project_root() / path): weights[path] for path in weights
    }
    for folder in folders:
        if not folder.is_dir() or not any(folder.iterdir()):
            remedy = "'dvc repro train_teacher' makes it" if folder == TEACHER else "pseudo_label.teachers names it"
            raise UserError(f"{folder}: holds no model; {remedy}")
    return folders


def _sha256(folder: Path) -> str:
    """Return what tells one teacher from another."""
    from depth_model.networks.provenance import content_sha256

    weights = folder / WEIGHTS
    return files.sha256(weights) if weights.is_file() else content_sha256(folder)


def _together(folders: dict[Path, float]) -> str:
    """Return the one hash of all teachers and, where they are not equal, their weights."""
    hashes = [_sha256(folder) for folder in folders]
    if len(hashes) == 1:
        return hashes[0]
    equal = len(set(folders.values())) == 1
    return files.sha256_of_json(hashes if equal else [hashes, list(folders.values())])


def run(workplace: Workplace, settings: params.Params) -> None:
    """Label one source into `data/pseudo/<name>`; labels of shards that were there before are used again."""
    from depth_model.networks import BadCheckpoint
    from depth_model.progress import progress_bar
    from depth_model.pseudo_label.labeling import Labeling, label_source
    from depth_model.shards.source import SourceFolder

    chosen, machine = settings.pseudo_label, settings.machine.pseudo_label
    images = Path("data/unlabeled", workplace.key)
    source = SourceFolder(images.absolute())
    folders = _teachers(chosen)
    labeling = Labeling(
        teachers={(teacher_folder() if one == TEACHER else one).absolute(): weight for one, weight in folders.items()},
        sha256=_together(folders),
        short_side=chosen.short_side,
        bits=chosen.bits,
        batch=chosen.batch,
        precision=chosen.precision,
        quality=chosen.quality,
        threads=machine.threads,
        device=machine.device,
    )
    with mlflow_runs.stage_run(workplace) as run:
        started = time.monotonic()
        parts.take_over(workplace, images)
        with progress_bar(f"pseudo_label {workplace.key}", len(source), "images") as bar:
            where = machine.engine, machine.processes, settings.data.root
            try:
                label_source(source, labeling, workplace.scratch, workplace.out(), bar.update, *where)
            except BadCheckpoint as error:
                raise UserError(f"{error}; 'dvc repro train_teacher' makes it again") from error
        parts.keep(workplace)
        seconds = time.monotonic() - started
        figures = {"images": len(source), "seconds": seconds, "images_per_second": len(source) / seconds}
        run.log_metrics(figures | _quality(workplace.out()))


def _quality(labels: Path) -> dict[str, float]:
    """Return the mean and the fifth percentile of the scores of `labels`, nothing where there are none."""
    from depth_model.shards import manifest

    path = labels / manifest.SIDECAR
    if "quality" not in manifest.schema(path).names:
        return {}
    scores = manifest.read_frame(path, ["quality"])["quality"]
    return {"quality/mean": float(scores.mean()), "quality/percentile_5": float(scores.quantile(0.05))}
