"""Stage `pseudo_label@<name>`: the teacher's disparity of every clean image of one unlabeled source (equation 4)."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from depth_model import files
from tasks import entry
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.workspace.work import Workplace, produce

TEACHER = Path("models/teacher")
WEIGHTS = "model.safetensors"
WITHOUT_EFFECT = {"engine", "processes", "device"}
"""Parameters that say where labels are made; `device` changes them by rounding only."""


def _teachers(chosen: params.PseudoLabel) -> list[Path]:
    """Return the folders of all teachers; raises StageError for one without a model."""
    folders = [TEACHER, *(mlflow_runs.project_root() / path for path in chosen.teachers)]
    for folder in folders:
        if not (folder / WEIGHTS).is_file():
            remedy = "'dvc repro train_teacher' makes it" if folder == TEACHER else "pseudo_label.teachers names it"
            raise entry.StageError(f"{folder}: holds no {WEIGHTS}; {remedy}")
    return folders


def _hashes(chosen: params.PseudoLabel) -> list[str]:
    return [files.sha256(folder / WEIGHTS) for folder in _teachers(chosen)]


def _build(place: Workplace, name: str, settings: params.Params) -> None:
    from depth_model.networks import BadCheckpoint
    from depth_model.progress import progress_bar
    from depth_model.pseudo_label.labeling import BadTeacher, Labelling, NoDevice, label_source
    from depth_model.reading.engines import WorkerKilled
    from depth_model.shards.source import SourceFolder

    chosen = settings.pseudo_label
    source = SourceFolder(Path("data/unlabeled", name).absolute())
    hashes = _hashes(chosen)
    labelling = Labelling(
        teachers=tuple(folder.absolute() for folder in _teachers(chosen)),
        sha256=hashes[0] if len(hashes) == 1 else files.sha256_of_json(hashes),
        **chosen.model_dump(exclude={"teachers", "engine", "processes"}),
    )
    with mlflow_runs.stage_run(f"pseudo_label@{name}", chosen.model_dump(), place) as run:
        started = time.monotonic()
        with progress_bar(f"pseudo_label {name}", len(source), "images") as bar:
            out = place.result / "labels"
            try:
                where = chosen.engine, chosen.processes, settings.data.root
                label_source(source, labelling, place.scratch, out, bar.update, *where)
            except BadCheckpoint as error:
                raise entry.StageError(f"{error}; 'dvc repro train_teacher' makes it again") from error
            except (BadTeacher, NoDevice, WorkerKilled) as error:
                raise entry.StageError(f"pseudo_label {name}: {error}") from error
        seconds = time.monotonic() - started
        figures = {"images": len(source), "seconds": seconds, "images_per_second": len(source) / seconds}
        run.log_metrics(figures | _quality(out))


def _quality(labels: Path) -> dict[str, float]:
    """Return the mean and the fifth percentile of the scores of `labels`, nothing where there are none."""
    from depth_model.shards import manifest

    path = labels / manifest.SIDECAR
    if "quality" not in manifest.schema(path).names:
        return {}
    scores = manifest.read_frame(path, ["quality"])["quality"]
    return {"quality/mean": float(scores.mean()), "quality/percentile_5": float(scores.quantile(0.05))}


def main() -> None:
    """Label the source that the command line names; continues after a kill."""
    parser = argparse.ArgumentParser(prog="python -m tasks.pseudo_label", description=__doc__)
    parser.add_argument("name", help="a name of sources.unlabeled in params.yaml")
    name = parser.parse_args().name
    settings = params.load()
    settings.source("unlabeled", name)
    produce(
        f"pseudo_label@{name}",
        inputs={
            "pseudo_label": settings.pseudo_label.model_dump(exclude=WITHOUT_EFFECT),
            "manifest": files.sha256(Path("data/unlabeled", name, "manifest.parquet")),
            "teachers": _hashes(settings.pseudo_label),
            "store": settings.data.store,
        },
        outs={"labels": Path("data/pseudo", name)},
        build=lambda place: _build(place, name, settings),
    )


if __name__ == "__main__":
    entry.run(main)
