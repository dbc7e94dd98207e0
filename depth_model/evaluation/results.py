"""The files of an evaluation in a folder: table, summary and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_model import files
from depth_model.evaluation.cases import Cases
from depth_model.evaluation.estimator import Estimator
from depth_model.evaluation.figures import examples_figure
from depth_model.evaluation.harness import evaluate, example
from depth_model.evaluation.protocols import Protocol
from depth_model.evaluation.summary import summary_of
from depth_model.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

SUMMARY, TABLE = "summary.json", "per_image.parquet"
EXAMPLES, WORST = 4, 20


def evaluate_set(
    name: str,
    models: Mapping[str, Estimator],
    cases: Cases,
    protocol: Protocol,
    folder: Path,
    main: str,
    summary_file: Path | None = None,
) -> dict[str, Any]:
    """Evaluate `models` on `cases` with progress on stderr; return the summary.

    Leaves in `folder` the table (per_image.parquet), the summary (summary.json, or `summary_file`), examples.png in
    rank order of the model `main` and its worst.png. Raises NothingEvaluated that calls the set `name`.
    """
    with progress_bar(f"evaluate {name}", len(cases), "images") as bar:
        table, skipped = evaluate(models, cases, protocol, bar.update)
    summary = write_tables(folder, name, table, skipped, protocol, summary_file)
    pictures = {"examples": examples(table, main, EXAMPLES), "worst": worst(table, main, WORST)}
    write_pictures(folder, pictures, table, models, cases, protocol)
    return summary


def write_tables(
    folder: Path,
    name: str,
    table: pd.DataFrame,
    skipped: Sequence[Mapping[str, str]],
    protocol: Protocol,
    summary_file: Path | None = None,
) -> dict[str, Any]:
    """Leave a table of `harness.joined` and its summary in `folder` (or `summary_file`); return the summary.

    Raises NothingEvaluated.
    """
    summary = summary_of(name, table, skipped, protocol)
    with files.atomic_path(folder / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    files.write_json(summary_file or folder / SUMMARY, summary)
    return summary


def write_pictures(
    folder: Path,
    chosen: Mapping[str, Sequence[str]],
    table: pd.DataFrame,
    models: Mapping[str, Estimator],
    cases: Cases,
    protocol: Protocol,
) -> None:
    """Leave `<name>.png` in `folder` for every name -> keys of `chosen`: all models side by side on those images, on
    the colors of the truth (as Figures 3 and 4 of the paper show them)."""
    places = {cases.key(index): index for index in range(len(cases))}
    for name, keys in chosen.items():
        shown = [example(models, cases.load(places[key]), table, protocol) for key in keys]
        files.write_bytes(folder / f"{name}.png", examples_figure(shown))


def examples(table: pd.DataFrame, model: str, count: int) -> list[str]:
    """Return at most `count` keys of `table` from the best to the worst AbsRel of `model`, evenly spaced in rank."""
    ranked = _ranked(table, model)
    ranks = np.unique(np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int))
    return [ranked[rank] for rank in ranks]


def worst(table: pd.DataFrame, model: str, count: int) -> list[str]:
    """Return the keys of the `count` images with the highest AbsRel of `model`, the worst first."""
    return _ranked(table, model)[::-1][:count]


def _ranked(table: pd.DataFrame, model: str) -> list[str]:
    own = table[(table["model"] == model) & table["abs_rel"].notna()]
    return own.sort_values(["abs_rel", "key"])["key"].tolist()
