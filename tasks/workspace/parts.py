"""Labels of single shards, kept for the next execution of their stage: when a source grows, its old shards are not
labeled again.

What a shard's labels follow from is the shard itself and all that the stage depends on but the rest of its source.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from depth_model import files
from tasks.workspace.entry import Entry
from tasks.workspace.work import Workplace

PARTS = "parts"
ORIGIN = "origin.json"


def take_over(workplace: Workplace, source: Path) -> None:
    """Put into scratch what earlier executions by the same code have made of the same shards of `source`, a folder on
    which the stage depends."""
    origin = shard_origins(workplace.entry, source)
    files.write_json(workplace.folder / ORIGIN, origin)
    for folder in workplace.earlier():
        known = files.read_json(folder / ORIGIN) if (folder / ORIGIN).exists() else {}
        for shard in (name for name, digest in origin.items() if known.get(name) == digest):
            for kept in (folder / PARTS, folder / "scratch"):
                _link(kept, workplace.scratch, shard)


def keep(workplace: Workplace) -> None:
    """Keep the finished shards of scratch with their tables, as links."""
    kept = workplace.folder / PARTS
    kept.mkdir(exist_ok=True)
    for path in workplace.scratch.glob("shard-*"):
        Path(kept, path.name).unlink(missing_ok=True)  # by a process that was killed right here
        os.link(path, kept / path.name)


def shard_origins(entry: Entry, source: Path) -> Mapping[str, str]:
    """Return what the labels of each shard of `source` follow from, as a digest by the name of the shard."""
    from depth_model.shards import manifest

    others = {path: digest for path, digest in entry.data.items() if Path(path) != source}
    rest = replace(entry, data=others).fingerprint()
    shards = manifest.metadata(source / manifest.MANIFEST)["shards"]
    return {one["name"]: files.sha256_of_json([rest, one["sha256"]]) for one in shards}


def _link(kept: Path, scratch: Path, shard: str) -> None:
    table = Path(shard).with_suffix(".parquet").name
    if not (kept / table).exists() or (scratch / table).exists():
        return
    for name in (shard, table):  # the table last: with it the shard counts as finished
        try:
            (scratch / name).unlink(missing_ok=True)
            os.link(kept / name, scratch / name)
        except FileNotFoundError:  # the shard lies in a bucket; or another process removes what is kept
            continue
