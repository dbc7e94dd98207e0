"""`depth-anything tables`: the paper's tables with our rows beside the published ones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.errors import UserError
from tasks.commands.outputs import add_out
from tasks.commands.shared import purpose

if TYPE_CHECKING:
    from depth_model.comparison.tables import PaperTable

# A pipeline's own tables first; what `depth-anything evaluate` wrote replaces them where both measured.
RESULTS = ("reports/evaluation", "evaluation")
_NOTE = "Rows in bold letters were measured here, the others are as published in: "


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("tables", help="the paper's tables with our rows", description=purpose(tables))
    one.add_argument(
        "--results",
        type=Path,
        nargs="*",
        help=f"folders with summaries of evaluations (default: those of {' and '.join(RESULTS)} that are there)",
    )
    one.add_argument(
        "--row",
        type=_row,
        action="append",
        default=[],
        metavar="TABLE:MODEL[=LABEL]",
        help="put just the named models into this table: 12:student=alpha 0.70",
    )
    add_out(one, "folder for tables.md and tables.html")
    one.set_defaults(run=tables)


def tables(given: argparse.Namespace) -> None:
    """Write Tables 2 to 13 of the paper as Markdown and HTML, with a row for every model measured here.
    What was not measured is marked missing.

    Raises UserError for a folder without summaries and for a row that names no table or no measured model.
    """
    from depth_model.comparison.tables import measured_rows, paper_source, paper_tables, rows_of

    ours = measured_rows(_summaries(given.results))
    named: dict[str, dict[str, str]] = {}
    for number, model, label in given.row:
        if number not in paper_tables():
            raise UserError(f"--row {number}:{model}: there is no such table; {', '.join(paper_tables())} are")
        if model not in {row.label for row in ours}:
            known = ", ".join(sorted({row.label for row in ours})) or "none"
            raise UserError(f"--row {number}:{model}: not measured; measured are: {known}")
        named.setdefault(number, {})[model] = label
    filled = [(table, rows_of(table, ours, _labels(number, named))) for number, table in paper_tables().items()]
    _write(given.out, filled, paper_source())
    print(given.out / "tables.md")


def _labels(number: str, named: dict[str, dict[str, str]]) -> dict[str, str] | None:
    """Return which of our rows table `number` takes, None for all: those of ablations only take what they are told."""
    from depth_model.comparison.tables import of_models

    return named.get(number) if of_models(number) else named.get(number, {})


def _summaries(given: Sequence[Path] | None) -> list[dict[str, Any]]:
    folders = [folder for name in RESULTS if (folder := Path(name)).is_dir()] if given is None else given
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--results {folder}: there is no such folder")
        contents = [files.read_json(path) for path in sorted(folder.rglob("*.json"))]
        summaries = [one for one in contents if isinstance(one, dict) and {"protocol", "models"} <= set(one)]
        if not summaries and given is not None:
            raise UserError(f"--results {folder}: holds no summary of an evaluation")
        found += summaries
    return found


def _write(out: Path, filled: list[tuple[PaperTable, list[tuple[str, bool, list[str]]]]], source: str) -> None:
    from depth_model.comparison.tables import MISSING, heads, markdown
    from tasks.report.pages import render

    text = f"{_NOTE}{source}.\n\n" + "\n".join(markdown(table, rows) for table, rows in filled)
    files.write_text(out / "tables.md", text)
    shown = [(table, heads(table), rows) for table, rows in filled]
    files.write_text(out / "tables.html", render("tables", note=f"{_NOTE}{source}.", tables=shown, missing=MISSING))


def _row(text: str) -> tuple[str, str, str]:
    number, separator, model = text.partition(":")
    if not separator or not model:
        raise argparse.ArgumentTypeError(f"{text}: must be TABLE:MODEL or TABLE:MODEL=LABEL")
    model, _, label = model.partition("=")
    return number, model, label or model
