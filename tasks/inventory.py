"""Stage `inventory`: what lies in every watched folder, so that DVC sees which source has changed.

Always runs, so it is light: it lists paths, sizes and modification times and opens no file. Its outs have the
same bytes as long as nothing changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depth_model import files, readers
from depth_model.errors import BadInput
from depth_model.shards.object_store import StoreError
from tasks import entry
from tasks.settings import params


def inventory_path(role: str, name: str) -> Path:
    """Return where the inventory of one source lies, relative to the root of the project."""
    return Path("data", "inventory", role, f"{name}.json")


def _watched(source: params.Source) -> Iterator[dict[str, Any]]:
    return readers.get(source.reader).watch(params.source_root(source), source.chosen_options())


def _root_fault(role: str, name: str, source: params.Source) -> str:
    try:
        readers.get(source.reader).check_root(params.source_root(source), source.chosen_options())
    except BadInput as error:
        return f"params.yaml: sources.{role}.{name}.root = {source.root!r}: {error}"
    return ""


def write_inventory(path: Path, watched: Iterator[dict[str, Any]]) -> None:
    """Write the entries `watched` as a JSON list, one entry a line, without holding them in memory."""
    with files.atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
        separator = "[\n"
        for one in watched:
            handle.write(separator + json.dumps(one))
            separator = ",\n"
        handle.write("[]\n" if separator == "[\n" else "\n]\n")


def main() -> None:
    """Check params.yaml and write `data/inventory/<role>/<name>.json` of every source.

    Raises ParamsError for a wrong params.yaml and StageError for roots that are not there, a line each.
    """
    sources = params.load().sources
    listed = [(role, name, one) for role in params.ROLES for name, one in getattr(sources, role).items()]
    faults = [line for role, name, source in listed if (line := _root_fault(role, name, source))]
    if faults:
        raise entry.StageError("\n".join(faults))
    for role, name, source in listed:
        try:
            write_inventory(inventory_path(role, name), _watched(source))
        except StoreError as error:
            raise entry.StageError(f"params.yaml: sources.{role}.{name}.root: {error}") from error


if __name__ == "__main__":
    entry.run(main)
