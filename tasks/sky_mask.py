"""Stage `sky_mask@<name>`: the sky of every image of one labeled source."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from depth_model import files
from depth_model.errors import named
from tasks.settings import params
from tasks.workspace.paths import known_path
from tasks.workspace.work import Workplace


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write `data/sky/<name>`."""
    from depth_model.progress import progress_bar
    from depth_model.shards.source import SourceFolder, join_sidecar
    from depth_model.sky import masks

    source = SourceFolder(Path("data", "labeled", workplace.key))
    sky_label = files.read_json(known_path("labeled", workplace.key))["sky_label"]

    @cache
    def loaded() -> masks.Segmenter:  # not at all where class labels say it all
        with named("params.yaml: sky.segmenter"):
            return masks.load_segmenter(settings.sky.segmenter)

    with progress_bar(f"sky_mask {workplace.key}", len(source), "images") as bar:
        for shard, _ in source.shards():
            masks.write_sky_shard(
                workplace.scratch,
                source.part(shard),
                shard,
                lambda image: loaded()(image),
                sky_label,
                settings.sky.threshold,
                bar.update,
                settings.data.root,
            )
    join_sidecar(workplace.scratch, workplace.out(), source)
