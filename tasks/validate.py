"""Stages `validate@<role>`, `validate_sky`, `validate_pseudo`: the gate and the join of all sources of a role.

Great Expectations checks the manifests (or sidecars) of all sources of a role together. When all expectations
hold, `data/catalog/<role>.json` lists what training may read, in the order of params.yaml; otherwise there is a
line for every expectation that fails, and no catalog. Opens no shard. `data/statistics/<role>.json` says what the
sources hold, `data/catalog/pseudo_statistics.json` what the teacher says of them; what has moved beyond
`drift.tolerance` since it was accepted is a warning, or with `drift.action: stop` the end.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import UserError
from tasks.gate import checks, statistics
from tasks.gate.suites import ANNOTATED, SOURCE_SUITES, sample_suite
from tasks.gate.tables import row_count, sample_pieces, sources_table, table_path
from tasks.settings import params
from tasks.workspace.paths import ACCEPTED, catalog_path, known_sources, statistics_path
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.audit.settings import DriftSettings

IN_PLACE = True


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write `data/catalog/<role>.json`, and the statistics of a role of sources and of pseudo labels."""
    role = workplace.key or workplace.stage.removeprefix("validate_")
    sources = known_sources(ANNOTATED.get(role, role))
    catalog = validate(role, sources)
    if role in statistics.DESCRIBED:
        _describe(role, sources, settings.drift)
    files.write_json(catalog_path(role), catalog)
    for name, summary in catalog.items():
        refused = f", {summary['quarantined']} in quarantine" if summary.get("quarantined") else ""
        print(f"{role}/{name}: {summary['samples']} samples{refused}", file=sys.stderr)


def validate(role: str, sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the catalog of `role` when all its `sources` hold what is expected of them.

    Raises UserError with a line for every expectation that fails, or when a source is not collected.
    """
    if not sources:
        return {}
    table = sources_table(role, sources)
    found = checks.faults([table], SOURCE_SUITES[role], ["source"])
    # The sidecar of an empty source does not know the columns that its stage would have added.
    filled = table["source"][table["samples"] > 0].tolist()
    if filled:
        found += _sample_faults(role, filled)
    if found:
        raise UserError("\n".join(f"{role}: {line}" for line in found))
    return {name: _summary(role, table_path(role, name)) for name in sources}


def _summary(role: str, path: Path) -> dict[str, Any]:
    from depth_model.shards import manifest

    summary = {f"{path.stem}_sha256": files.sha256(path), "samples": row_count(path)}
    if role not in ANNOTATED:
        summary["quarantined"] = row_count(path.with_name(manifest.QUARANTINE))
    return summary | {"bytes": sum(shard["size"] for shard in manifest.metadata(path)["shards"])}


def _sample_faults(role: str, names: list[str]) -> list[str]:
    import pandas as pd

    suite, index = sample_suite(role), ["source", "key"]
    by_row = [one for one in suite if checks.judges_rows(one)]
    found = checks.faults(sample_pieces(role, names, by_row), by_row, index)
    if others := [one for one in suite if one not in by_row]:
        whole = pd.concat(sample_pieces(role, names, others), ignore_index=True)
        found += checks.faults([whole], others, index)
    return found


def _describe(role: str, sources: Mapping[str, Mapping[str, Any]], drift: DriftSettings) -> None:
    """Write the statistics of `role`; warn of drift beyond the tolerance, or raise UserError when that should stop."""
    description = statistics.described(role, sources)
    moved = statistics.beyond(description, drift.tolerance)
    against = f"compared with {ACCEPTED} (drift.tolerance {drift.tolerance:g})"
    lines = [f"{role}: {line}, {against}" for line in moved]
    files.write_json(statistics_path(role), description)
    if lines and drift.action == "stop":
        raise UserError("\n".join([*lines, "'depth-anything accept' accepts the collection as it is now"]))
    for line in [*lines, *(f"{role}/{line}" for line in statistics.implausible(description))]:
        print(f"warning: {line}", file=sys.stderr)
