"""The claim ledger: every number of the paper that a released model can be held to, beside what was measured of it.

Numbers are those of `paper_tables.yaml`; which checkpoint each row is claimed of, and what others found, is in
`claims.yaml`; what we measured in `results/claims.jsonl`, whose lines `depth-anything evaluate --calibrate` writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from depth_model.comparison.ablations import read_results
from depth_model.comparison.tables import PaperTable, number_text, of_models, paper_source, paper_tables, title

CLAIMS = Path(__file__).with_name("claims.yaml")
RESULTS = Path("results/claims.jsonl")
FOLDERS = {"diode_outdoor": "diode"}
"""Sets that are part of the folder of another one."""
OTHER_TABLES = (
    "## The other tables",
    "",
    "Tables 6, 9, 12 and 13 and the auxiliary task of section 3.3 compare trainings: [ablations](../ablations.md)",
    "has the commands, [measured](../measurements/ablations.md) what three seeds on a small setting gave. Tables 10",
    "and 11 compare encoders to fine-tune: [the command](../metric-depth.md#which-encoder-is-best-tables-10-11),",
    "[three on the demo](../measurements/fine-tuning.md). Figure 4: [ControlNet](../measurements/controlnet.md).",
    "",
)
"""Of the ledger: where what is no claim of a released model stands."""
EVERYTHING = "depth-anything evaluate --calibrate --checkpoints weights/ --root sets/"


@dataclass(frozen=True)
class Checkpoint:
    """A published model: the file or folder it is looked for as, its hub id, table -> its row, and the sets that the
    rows are claimed on, none for all of these tables."""

    file: str
    rows: Mapping[str, str]
    hub: str | None = None
    sets: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Claim:
    """What a table says of a checkpoint on a set: metric -> value."""

    table: str
    row: str
    values: Mapping[str, float]

    @property
    def is_metric(self) -> bool:
        """Whether the table is of meters."""
        return paper_tables()[self.table].kind == "metric"


@cache
def _content() -> dict[str, Any]:
    import yaml

    return yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))


@cache
def checkpoints() -> dict[str, Checkpoint]:
    """Return title -> published checkpoint."""
    return {name: Checkpoint(**values) for name, values in _content()["checkpoints"].items()}


def claim(dataset: str, name: str) -> Claim | None:
    """Return what the paper says of checkpoint `name` on `dataset`, None for nothing."""
    one = checkpoints()[name]
    if one.sets and dataset not in one.sets:
        return None
    for number, row in one.rows.items():
        values = _values(paper_tables()[number], row).get(dataset)
        if values is not None:
            return Claim(number, row, values)
    return None


def sets() -> list[str]:
    """Return the sets on which something is claimed of a checkpoint, in the order of the tables."""
    found = [dataset for table in paper_tables().values() if of_models(table.number) for dataset, _ in table.columns]
    return [dataset for dataset in dict.fromkeys(found) if any(claim(dataset, name) for name in checkpoints())]


def _values(table: PaperTable, row: str) -> dict[str, dict[str, float]]:
    """Return set -> metric -> value of a row."""
    found: dict[str, dict[str, float]] = {}
    for (dataset, metric), value in zip(table.columns, table.rows[row], strict=True):
        if value is not None:
            found.setdefault(dataset, {})[metric] = value
    return found


def command(dataset: str, name: str, metric: bool) -> str:
    """Return the command that measures checkpoint `name` on `dataset` alone."""
    model = f"--model weights/{checkpoints()[name].file}"
    data = f"--set {dataset} --root sets/{FOLDERS.get(dataset, dataset)}"
    return f"depth-anything evaluate {model}{' --metric' * metric} {data}"


def page(results: Path = RESULTS) -> str:
    """Return the ledger as Markdown: a row per claimed row and set of Tables 2, 3, 4, 5, 7 and 8."""
    measured = read_results(results)
    lines = [f"The numbers of {paper_source()}, each with its state. Everything that is at hand is measured by"]
    lines += ["", "```", EVERYTHING, "```", ""]
    lines += [
        "which writes `claims.jsonl`; appended to `results/claims.jsonl`, its lines stand here after `make docs`."
    ]
    lines += [f"So far {len(measured)} lines are there. A list `sets/SET/list.txt` names the images of a split.", ""]
    for number, table in paper_tables().items():
        if of_models(number):
            lines += [f"## Table {number}: {table.title}", "", *_table(table, measured), ""]
    return "\n".join([*lines, *OTHER_TABLES, *_findings()])


def _table(table: PaperTable, measured: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| row | set | paper | measured here | reported elsewhere | state |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in table.rows:
        for dataset, values in _values(table, row).items():
            ours = [one for one in measured if (one["table"], one["row"], one["set"]) == (table.number, row, dataset)]
            cells = (row, dataset, _told(values), _ours(ours), _elsewhere(table, row, dataset))
            yield "| " + " | ".join((*cells, _state(table, row, dataset, ours))) + " |"


def _told(values: Mapping[str, float]) -> str:
    return ", ".join(f"{title(metric)} {number_text(value, metric)}" for metric, value in values.items())


def _ours(found: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"`{one['variant']}`: {_told(one['values'])}" for one in found)


def _elsewhere(table: PaperTable, row: str, dataset: str) -> str:
    found = [
        f"{_told(one['values'])} ([{one['what']}]({one['source']}))"
        for one in _content()["elsewhere"]
        if (one["table"], one["row"], one["set"]) == (table.number, row, dataset)
    ]
    return "; ".join(found)


def _state(table: PaperTable, row: str, dataset: str, ours: Sequence[Mapping[str, Any]]) -> str:
    if ours:
        last = ours[-1]
        return f"measured {last['date']} on {last['images']} images, commit {last['commit'][:8]}: `{last['command']}`"
    for name, one in checkpoints().items():
        found = claim(dataset, name)
        if found is not None and (found.table, found.row) == (table.number, row):
            hub = f" (hub: {one.hub})" if one.hub else ""
            needs = f"`weights/{one.file}`{hub} and `sets/{FOLDERS.get(dataset, dataset)}`"
            return f"not measured, needs {needs}: `{command(dataset, name, found.is_metric)}`"
    return _content()["blocked"].get(table.number, {}).get(row, "quoted by the paper from another work, not measured")


def _findings() -> Iterator[str]:
    yield "## What others found"
    yield ""
    yield "Public re-measurements of the protocols. AbsRel; in parentheses what the paper in question says."
    yield ""
    for one in _content()["findings"]:
        yield f"- **{one['set']}** {one['found']} ([source]({one['source']}))."
    yield ""
