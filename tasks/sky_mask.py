"""Stage `sky_mask@<name>`: the sky of every image of one labeled source."""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

from depth_model import files, readers
from tasks import entry
from tasks.settings import params
from tasks.workspace.work import Workplace, produce


def _build(place: Workplace, name: str, settings: params.Params) -> None:
    from depth_model.progress import progress_bar
    from depth_model.shards.source import SourceFolder, join_sidecar
    from depth_model.sky import masks

    source = SourceFolder(Path("data", "labeled", name))
    sky_label = readers.get(settings.source("labeled", name).reader).sky_label
    loaded = cache(lambda: masks.load_segmenter(settings.sky.segmenter))  # not at all where class labels say it all
    with progress_bar(f"sky_mask {name}", len(source), "images") as bar:
        for shard, _ in source.shards():
            try:
                masks.write_sky_shard(
                    place.scratch,
                    source.part(shard),
                    shard,
                    lambda image: loaded()(image),
                    sky_label,
                    settings.sky.threshold,
                    bar.update,
                    settings.data.root,
                )
            except masks.SegmenterError as error:
                raise entry.StageError(f"params.yaml: sky.segmenter: {error}") from error
    join_sidecar(place.scratch, place.result / "sky", source)


def main() -> None:
    """Write `data/sky/<name>` for the labeled source that the command line names."""
    from depth_model.shards import manifest
    from depth_model.sky.masks import segmenter_content

    parser = argparse.ArgumentParser(prog="python -m tasks.sky_mask", description=__doc__)
    parser.add_argument("name")
    name = parser.parse_args().name
    settings = params.load()
    reader = readers.get(settings.source("labeled", name).reader)
    table = Path("data", "labeled", name, manifest.MANIFEST)
    if not table.exists():
        raise entry.StageError(f"{table} is not there; run 'dvc repro collect_labeled@{name}' first")
    produce(
        f"sky_mask@{name}",
        inputs={
            "sky": settings.sky.model_dump(),
            "segmenter": segmenter_content(settings.sky.segmenter),
            "manifest": files.sha256(table),
            "sky_label": reader.sky_label,
            "store": settings.data.store,
        },
        outs={"sky": Path("data", "sky", name)},
        build=lambda place: _build(place, name, settings),
    )


if __name__ == "__main__":
    entry.run(main)
