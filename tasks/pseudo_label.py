"""Stage `pseudo_label@<name>`: the teacher's disparity of every clean image of one unlabeled source (equation 4)."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from depth_model import files
from tasks import entry, params, tracking
from tasks.workspace import Workplace, produce

TEACHER = Path("models/teacher")


def _build(place: Workplace, name: str, settings: params.Params) -> None:
    from depth_model.datasets.source import SourceFolder
    from depth_model.inference import DepthPredictor
    from depth_model.networks import BadCheckpoint, DepthAnything
    from depth_model.progress import progress_bar
    from depth_model.pseudo_label import BadTeacher, label_source
    from depth_model.training.loop import best_device

    chosen = settings.pseudo_label
    source = SourceFolder(Path("data/unlabeled", name))
    try:
        teacher = DepthPredictor(
            DepthAnything.load(TEACHER).to(best_device()), chosen.short_side, chosen.batch
        )
    except BadCheckpoint as error:
        raise entry.StageError(f"{error}; 'dvc repro train_teacher' makes it again") from error
    fingerprint = files.sha256(TEACHER / "model.safetensors")
    with tracking.stage_run(f"pseudo_label@{name}", chosen.model_dump(), place) as run:
        started = time.monotonic()
        with progress_bar(f"pseudo_label {name}", len(source), "images") as bar:
            out = place.result / "labels"
            try:
                label_source(source, teacher, fingerprint, chosen.bits, place.scratch, out, bar.update)
            except BadTeacher as error:
                raise entry.StageError(str(error)) from error
        seconds = time.monotonic() - started
        run.log_metrics(
            {"images": len(source), "seconds": seconds, "images_per_second": len(source) / seconds}
        )


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
            "pseudo_label": settings.pseudo_label.model_dump(),
            "manifest": files.sha256(Path("data/unlabeled", name, "manifest.parquet")),
            "teacher": files.sha256(TEACHER / "model.safetensors"),
        },
        outs={"labels": Path("data/pseudo", name)},
        build=lambda place: _build(place, name, settings),
    )


if __name__ == "__main__":
    entry.run(main)
