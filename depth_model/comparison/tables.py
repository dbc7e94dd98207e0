"""The paper's tables with rows of our own beside the published ones; what was not measured is missing.

Published numbers come from `paper_tables.yaml`, ours from the summaries that evaluation writes. A cell is filled only
by a measurement of that very set and metric, a mean only when every set of the table has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from depth_model.evaluation import protocols
from depth_model.metrics.depth import ALL_METRICS

PAPER = Path(__file__).with_name("paper_tables.yaml")
MISSING = "missing"
MEAN = "mean"
SEGMENTATION = {"miou": "mIoU ↑", "miou_multi_scale": "mIoU, multi-scale ↑"}
"""Metrics in percent, and their heads."""


@dataclass(frozen=True)
class PaperTable:
    """A table as published: its columns are (set, metric), its rows label -> a value per column.

    `kind` is "relative" or "metric" (fine-tuned models, segmentation too): which of our measurements belong into it.
    """

    number: str
    title: str
    kind: str
    columns: tuple[tuple[str, str], ...]
    rows: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class Measured:
    """One model as we measured it: (set, metric) -> mean over images."""

    label: str
    kind: str
    values: Mapping[tuple[str, str], float]


@cache
def paper_source() -> str:
    """Return which publication the numbers are from."""
    return _content()["source"]


@cache
def paper_tables() -> dict[str, PaperTable]:
    """Return number -> table of the paper. Raises ValueError for a row that does not fit its columns."""
    return {number: _table(number, content) for number, content in _content()["tables"].items()}


def of_models(number: str) -> bool:
    """Return whether a table compares models, whoever trained them; the others compare trainings, which a name of a
    model cannot tell."""
    return number in ("2", "3", "4", "5", "7", "8")


def _content() -> dict[str, Any]:
    import yaml

    return yaml.safe_load(PAPER.read_text(encoding="utf-8"))


def _table(number: str, content: Mapping[str, Any]) -> PaperTable:
    columns = tuple(tuple(column.split("/")) for column in content["columns"])
    rows = {label: tuple(values) for label, values in content["rows"].items()}
    for label, values in rows.items():
        if len(values) != len(columns):
            raise ValueError(f"table {number}, {label}: {len(values)} numbers for {len(columns)} columns")
    return PaperTable(number, content["title"], content["kind"], columns, rows)


def measured_rows(summaries: Iterable[Mapping[str, Any]]) -> list[Measured]:
    """Return a row per model and kind of variant of evaluation summaries (see `tasks.evaluate_relative.summary_of`).

    Only what a protocol of a named set measured counts. Default variants share a row over the sets, any other variant
    has rows of its own, which its label names. A later summary of the same set and variant replaces an earlier one.
    """
    rows: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for summary in summaries:
        dataset, _, variant = summary["protocol"]["name"].partition("/")
        if not variant:
            continue
        kind = "metric" if summary["protocol"]["alignment"] == "none" else "relative"
        suffix = "" if variant in (protocols.DEFAULT, protocols.DEFAULT_METRIC) else f" ({variant})"
        for model, values in summary["models"].items():
            row = rows.setdefault((model + suffix, kind), {})
            row.update({(dataset, metric): value for metric, value in values.items() if value is not None})
    return [Measured(label, kind, values) for (label, kind), values in rows.items()]


def cells(table: PaperTable, row: Measured) -> list[float | None]:
    """Return a value per column of `table`, None for what `row` does not have."""
    return [
        _mean(table, row, metric) if dataset == MEAN else row.values.get((dataset, metric))
        for dataset, metric in table.columns
    ]


def _mean(table: PaperTable, row: Measured, metric: str) -> float | None:
    wanted = [column for column in table.columns if column[0] != MEAN and column[1] == metric]
    values = [row.values.get(column) for column in wanted]
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if len(present) == len(wanted) else None


def rows_of(
    table: PaperTable, ours: Sequence[Measured], labels: Mapping[str, str] | None = None
) -> list[tuple[str, bool, list[str]]]:
    """Return (label, whether it is ours, a text per column) of the published rows, then of ours.

    Ours are those of the table's kind with at least one value in it; with `labels` (model -> label) those it names.
    """
    published = [
        (label, False, [_text(value, column) for value, column in zip(values, table.columns)])
        for label, values in table.rows.items()
    ]
    added = []
    for row in ours:
        values = cells(table, row)
        if row.kind != table.kind or not any(value is not None for value in values):
            continue
        if labels is None or row.label in labels:
            label = row.label if labels is None else labels[row.label]
            added.append((label, True, [_text(value, column) for value, column in zip(values, table.columns)]))
    return published + added


def _text(value: float | None, column: tuple[str, str]) -> str:
    return MISSING if value is None else number_text(value, column[1])


def number_text(value: float, metric: str) -> str:
    """Return a value as the paper prints it."""
    return f"{value:.1f}" if metric in SEGMENTATION else f"{value:.3f}"


def heads(table: PaperTable) -> list[str]:
    """Return a head per column: the set and the metric with the direction in which it is better."""
    return [f"{dataset} {title(metric)}" for dataset, metric in table.columns]


def title(metric: str) -> str:
    """Return the name of a metric with an arrow to where it is better."""
    return SEGMENTATION[metric] if metric in SEGMENTATION else ALL_METRICS[metric].heading


def markdown(table: PaperTable, rows: Sequence[tuple[str, bool, list[str]]]) -> str:
    """Return the table as Markdown; rows of ours are in bold letters."""
    lines = [f"### Table {table.number}: {table.title}", "", f"| | {' | '.join(heads(table))} |"]
    lines.append("| --- |" + " ---: |" * len(table.columns))
    for label, ours, texts in rows:
        lines.append(f"| {f'**{label}**' if ours else label} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"
