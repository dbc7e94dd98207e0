"""What was measured beside what the paper published: its tables, and ablations that were run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from depth_model import files
from tasks.report.pages import render

Filled = tuple[Any, list[str], list[tuple[str, bool, list[str]]]]


def paper_section() -> Markup:
    """Return the HTML of the tables of the paper with our rows, and of ablations that were run."""
    from depth_model.comparison.ablations import RESULTS
    from depth_model.comparison.tables import MISSING, paper_source

    shown = list(tables())
    return render(
        "paper",
        tables=shown,
        measured=[table.number for table, _, rows in shown if any(ours for _, ours, _ in rows)],
        source=paper_source(),
        missing=MISSING,
        ablations=ablations(),
        results=RESULTS,
    )


def tables() -> Iterator[Filled]:
    """Yield (table of the paper, heads, rows of `rows_of`) of every table that compares models and not trainings."""
    from depth_model.comparison.tables import heads, measured_rows, of_models, paper_tables, rows_of

    found = [files.read_json(path) for path in sorted(Path("reports/evaluation").glob("*/*.json"))]
    ours = measured_rows([one for one in found if "protocol" in one])
    for number, table in paper_tables().items():
        if of_models(number):
            yield table, heads(table), rows_of(table, ours)


def ablations() -> list[tuple[str, str, str, str, str]]:
    """Return (table, row, seeds, mean AbsRel of the model that it measures, code and parameters) of every row that was
    run and measures relative depth; one setting of code and parameters never mixes with another."""
    from depth_model.comparison.ablations import read_results, spread

    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for one in read_results():
        if "mean" in one["metrics"]:
            model = "teacher" if one["table"] == "table-6" else "student"
            groups[one["setting"], one["table"], one["row"]].append(one["metrics"]["mean"][model]["abs_rel"])
    return [
        (table.replace("-", " "), row, str(len(values)), spread(values), setting[:8])
        for (setting, table, row), values in groups.items()
    ]
