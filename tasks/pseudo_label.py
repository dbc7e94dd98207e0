"""Stage `pseudo_label@<name>`: the teacher's disparity of every clean image of one unlabeled source (equation 4)."""

from __future__ import annotations

import time
from pathlib import Path

from depth_model import files
from depth_model.errors import UserError
from depth_model.pseudo_label.settings import LabelSettings
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.workspace.work import Workplace

TEACHER = Path("models/teacher")
WEIGHTS = "model.safetensors"


def _teachers(chosen: LabelSettings) -> list[Path]:
    """Return the folders of all teachers; raises UserError for one without a model."""
    folders = [TEACHER, *(mlflow_runs.project_root() / path for path in chosen.teachers)]
    for folder in folders:
        if not (folder / WEIGHTS).is_file():
            remedy = "'dvc repro train_teacher' makes it" if folder == TEACHER else "pseudo_label.teachers names it"
            raise UserError(f"{folder}: holds no {WEIGHTS}; {remedy}")
    return folders


def run(workplace: Workplace, settings: params.Params) -> None:
    """Label one source into `data/pseudo/<name>`."""
    from depth_model.networks import BadCheckpoint
    from depth_model.progress import progress_bar
    from depth_model.pseudo_label.labeling import Labeling, label_source
    from depth_model.shards.source import SourceFolder

    chosen, machine = settings.pseudo_label, settings.machine.pseudo_label
    source = SourceFolder(Path("data/unlabeled", workplace.key).absolute())
    folders = _teachers(chosen)
    hashes = [files.sha256(folder / WEIGHTS) for folder in folders]
    labeling = Labeling(
        teachers=tuple(folder.absolute() for folder in folders),
        sha256=hashes[0] if len(hashes) == 1 else files.sha256_of_json(hashes),
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
        with progress_bar(f"pseudo_label {workplace.key}", len(source), "images") as bar:
            where = machine.engine, machine.processes, settings.data.root
            try:
                label_source(source, labeling, workplace.scratch, workplace.out(), bar.update, *where)
            except BadCheckpoint as error:
                raise UserError(f"{error}; 'dvc repro train_teacher' makes it again") from error
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
