"""Data Docs: what is expected of the collection and what Great Expectations found, as pages.

Writes `reports/data_docs/`: a page for the sources and one for the samples of each role that is collected, and
`index.html`. The pages are ours: those of Great Expectations load scripts and styles from elsewhere, and take a file
name as markup. A by-product that no stage depends on: it says when it was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.errors import UserError
from tasks.gate.checks import checked
from tasks.gate.suites import ANNOTATED, SAMPLE_SUITES, SOURCE_SUITES, sample_suite
from tasks.gate.tables import sample_pieces, sources_table
from tasks.report.pages import render
from tasks.workspace.paths import known_sources

FOLDER = Path("reports/data_docs")
_TABLE = "Table-Level Expectations"


def rendered(result: Any) -> str:
    """Return the page on an ExpectationSuiteValidationResult of `checked`, dated now."""
    # Once through JSON: lists would show the types of numpy with every value.
    plain = json.loads(json.dumps(result.to_json_dict(), default=str))
    columns: dict[str, list[dict[str, Any]]] = {}
    for found, one in zip(result.results, plain["results"]):
        column = one["expectation_config"]["kwargs"].pop("column", _TABLE)
        columns.setdefault(column, []).append(_check(one) | {"success": bool(found.success)})
    return render(
        "validation",
        name=plain["suite_name"],
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        success=result.success,
        statistics=plain["statistics"],
        meta=plain["meta"],
        columns=dict(sorted(columns.items(), key=lambda one: (one[0] != _TABLE, one[0]))),
    )


def _check(one: dict[str, Any]) -> dict[str, Any]:
    """Return what a page says of one expectation; `rows` are a head and some rows that do not fit."""
    config, result, raised = one["expectation_config"], one["result"], one["exception_info"]
    index = result.get("unexpected_index_column_names", [])
    rows = [{name: row[name] for name in index} | row for row in result.get("partial_unexpected_index_list") or []]
    # By metric when an exception was raised.
    raised = [info for info in raised.values() if isinstance(info, dict)] or [raised]
    return {
        "says": config["meta"]["says"],
        "type": config["type"],
        "arguments": {name: value for name, value in config["kwargs"].items() if name != "batch_id"},
        "errors": sorted({info["exception_message"] for info in raised if info["raised_exception"]}),
        "result": result,
        "rows": [list(rows[0]), *(row.values() for row in rows)] if rows else [],
    }


def _results(role: str, sources: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, int, Any]]:
    """Yield (what was looked at, number of rows, what was found out) of a role."""
    import pandas as pd

    table = sources_table(role, sources)
    yield "sources", len(table), checked(table, SOURCE_SUITES[role], ["source"], f"{role} sources")
    # The sidecar of an empty source does not know the columns that its stage would have added.
    filled = table["source"][table["samples"] > 0].tolist()
    if filled:
        suite = sample_suite(role)
        samples = pd.concat(sample_pieces(role, filled, suite), ignore_index=True)
        yield "samples", len(samples), checked(samples, suite, ["source", "key"], f"{role} samples")


def _written(role: str, sources: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """Write the pages of `role`; yield (role, what was looked at, number of rows, what was counted) of each."""
    for what, rows, result in _results(role, sources):
        files.write_text(FOLDER / f"{role}-{what}.html", rendered(result))
        yield role, what, rows, result.statistics


def _is_collected(role: str, sources: Mapping[str, Mapping[str, Any]]) -> bool:
    from depth_model.shards import manifest

    table = manifest.SIDECAR if role in ANNOTATED else manifest.MANIFEST
    return bool(sources) and all(Path("data", role, name, table).exists() for name in sources)


def write_data_docs(roles: Iterable[str]) -> int:
    """Write the pages of `roles`, or of all that are collected when there are none, and return their number."""
    chosen, pages = list(roles), []
    if unknown := sorted(set(chosen) - set(SAMPLE_SUITES)):
        raise UserError(f"{', '.join(unknown)}: no such role (allowed: {', '.join(SAMPLE_SUITES)})")
    for role in chosen or SAMPLE_SUITES:
        sources = known_sources(ANNOTATED.get(role, role))
        if role in chosen or _is_collected(role, sources):
            pages += _written(role, sources)
    files.write_text(FOLDER / "index.html", render("data_docs", pages=pages))
    return len(pages)
