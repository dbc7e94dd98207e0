"""Stage `sky_mask@<name>`: the sky of every image of one labeled source."""

from __future__ import annotations

from pathlib import Path

from depth_model import files
from tasks.settings import params
from tasks.workspace import parts
from tasks.workspace.paths import known_path
from tasks.workspace.work import Workplace


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write `data/sky/<name>`; masks of shards that were there before are used again."""
    from depth_model.progress import progress_bar
    from depth_model.shards.source import SourceFolder
    from depth_model.sky.masks import Masking, mask_source

    images = Path("data/labeled", workplace.key)
    source = SourceFolder(images.absolute())
    sky_label = files.read_json(known_path("labeled", workplace.key))["sky_label"]
    chosen, machine = settings.sky, settings.machine.sky
    masking = Masking(chosen.segmenter, sky_label, chosen.threshold, machine.threads, machine.device)
    where = machine.engine, machine.processes, settings.data.root
    parts.take_over(workplace, images)
    with progress_bar(f"sky_mask {workplace.key}", len(source), "images") as bar:
        mask_source(source, masking, workplace.scratch, workplace.out(), bar.update, *where)
    parts.keep(workplace)
