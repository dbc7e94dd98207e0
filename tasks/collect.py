"""Stage `collect_<role>@<name>`: one source into shards, manifest and quarantine."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from depth_model import files
from tasks import entry
from tasks.inventory import inventory_path
from tasks.settings import params
from tasks.workspace.work import Workplace, produce

_PARTS = Path("result/parts")


def _build(place: Workplace, role: str, name: str, settings: params.Params) -> None:
    from depth_model import readers
    from depth_model.progress import progress_bar
    from depth_model.reading.collecting import WorkerKilled, collect_source
    from depth_model.shards.object_store import StoreError

    source = settings.source(role, name)
    reader, root, options = readers.get(source.reader), params.source_root(source), source.chosen_options()
    with progress_bar(f"collect {role}/{name}", None, "images") as bar:

        def progress(kept: int, refused: int, total: int) -> None:
            if bar.total is None:
                bar.reset(total)  # the time that remains counts from here, where all is listed
            bar.set_postfix(quarantined=refused, refresh=False)
            bar.update(kept + refused - bar.n)

        try:
            collect_source(
                reader,
                root,
                options,
                place.scratch,
                place.result / "source",
                **settings.collect.model_dump(),
                store=settings.data.root,
                content=files.sha256(inventory_path(role, name)),
                earlier=[part for folder in place.earlier() for part in (folder / _PARTS, folder / "scratch")],
                labels=role != "unlabeled",
                progress=progress,
            )
        except (WorkerKilled, StoreError) as error:
            raise entry.StageError(f"sources.{role}.{name}: {error}") from error
    _keep_parts(place)


def _keep_parts(place: Workplace) -> None:
    """Keep the shards with their tables, as links, for a later collection in which few files have changed."""
    (place.folder / _PARTS).mkdir()
    for path in place.scratch.glob("shard-*"):
        os.link(path, place.folder / _PARTS / path.name)


def main() -> None:
    """Collect the source that the command line names into `data/<role>/<name>`."""
    parser = argparse.ArgumentParser(prog="python -m tasks.collect", description=__doc__)
    parser.add_argument("role", choices=params.ROLES)
    parser.add_argument("name")
    given = parser.parse_args()
    settings = params.load()
    source = settings.source(given.role, given.name)
    inventory = inventory_path(given.role, given.name)
    if not inventory.exists():
        raise entry.StageError(f"{inventory} is not there; run 'python -m tasks.inventory' first")
    produce(
        f"collect_{given.role}@{given.name}",
        inputs={
            "source": source.model_dump(mode="json", exclude={"minimum_count", "protocol"}),
            "collect": settings.collect.model_dump(exclude={"workers", "engine"}),
            "store": settings.data.store,
            "inventory": files.sha256(inventory),
        },
        outs={"source": Path("data", given.role, given.name)},
        build=lambda place: _build(place, given.role, given.name, settings),
    )


if __name__ == "__main__":
    entry.run(main)
