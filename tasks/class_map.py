"""Stage `class_map@<name>`: the classes in every image of one unlabeled source, for the student's auxiliary task."""

from __future__ import annotations

from pathlib import Path

from tasks.settings import params
from tasks.workspace import parts
from tasks.workspace.work import Workplace


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write `data/class_map/<name>`; maps of shards that were there before are used again."""
    from depth_model.progress import progress_bar
    from depth_model.shards.source import SourceFolder
    from depth_model.sky.class_maps import ClassMapping, map_source
    from depth_model.sky.settings import LABELS

    images, machine = Path("data/unlabeled", workplace.key), settings.machine.sky
    source = SourceFolder(images.absolute())
    segmenter = settings.class_map[workplace.key]
    folder = params.project_path(segmenter)
    chosen = str(folder) if segmenter != LABELS and folder.is_dir() else segmenter
    mapping = ClassMapping(chosen, machine.threads, machine.device)
    where = machine.engine, machine.processes, settings.data.root
    parts.take_over(workplace, images)
    with progress_bar(f"class_map {workplace.key}", len(source), "images") as bar:
        map_source(source, mapping, workplace.scratch, workplace.out(), bar.update, *where)
    parts.keep(workplace)
