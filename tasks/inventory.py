"""Stage `inventory`: what lies in every watched folder, so that DVC sees which source has changed.

Always runs, so it is light: it lists paths, sizes and modification times and opens no file. Its outs have the
same bytes as long as nothing changes. What the gate and the sky stage must know of a source stands in files of its own,
so that neither depends on a whole role of params.yaml.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depth_model import files, readers
from depth_model.errors import UserError, named
from tasks.settings import params
from tasks.workspace.paths import inventory_path, known_path, role_path
from tasks.workspace.work import Workplace

IN_PLACE = True


def _watched(source: params.Source) -> Iterator[dict[str, Any]]:
    return readers.get(source.reader).watch(params.source_root(source), source.chosen_options())


def _root_fault(role: str, name: str, source: params.Source) -> str:
    try:
        readers.get(source.reader).check_root(params.source_root(source), source.chosen_options())
    except UserError as error:
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


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write `data/inventory/`; raises UserError for roots that are not there, a line each."""
    roles: dict[str, dict[str, params.Source]] = {role: getattr(settings.sources, role) for role in params.ROLES}
    listed = [(role, name, one) for role, sources in roles.items() for name, one in sources.items()]
    if faults := [line for role, name, source in listed if (line := _root_fault(role, name, source))]:
        raise UserError("\n".join(faults))
    for role, name, source in listed:
        with named(f"params.yaml: sources.{role}.{name}.root"):
            write_inventory(inventory_path(role, name), _watched(source))
        files.write_json(known_path(role, name), {"sky_label": readers.get(source.reader).sky_label})
    for role, sources in roles.items():
        files.write_json(role_path(role), {name: _known(source) for name, source in sources.items()})


def _known(source: params.Source) -> dict[str, Any]:
    rendered = params.EXPORTED in Path(source.root or "").parents
    return {"reader": source.reader, "minimum_count": source.minimum_count, "rendered": rendered}
