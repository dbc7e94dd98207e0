"""The files of an evaluation in a folder: table, summary and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depth_model import files
from depth_model.evaluation.cases import Cases
from depth_model.evaluation.figures import Example, examples_figure
from depth_model.evaluation.harness import evaluate, example
from depth_model.evaluation.panels import write_panels
from depth_model.evaluation.protocols import Protocol
from depth_model.evaluation.summary import check_evaluated, summary_of
from depth_model.prediction.estimator import Estimator
from depth_model.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES, WORST = 4, 20
WORST_COMPARED = 3
"""Of the worst images, those that also get pictures of their own, to compare one by one."""
REMEMBERED = 256 * 2**20
"""Bytes of a model's maps that are kept for its pictures; what does not fit is predicted again."""


def evaluate_set(
    name: str,
    where: str,
    models: Mapping[str, Estimator],
    cases: Cases,
    protocol: Protocol,
    folder: Path,
    summary_file: Path,
    main: str,
) -> None:
    """Evaluate `models` on the `cases` of the set `name`, with progress on stderr, and leave `summary_file`, and in
    `folder` the table (per_image.parquet), examples.png in rank order of the model `main`, its worst.png, and `panels`
    of the examples and its very worst.

    Raises NothingEvaluated that calls the set `where`.
    """
    models = {name: _remembering(model) for name, model in models.items()}
    with progress_bar(f"evaluate {name}", len(cases), "images") as bar:
        table, skipped = evaluate(models, cases, protocol, bar.update)
    check_evaluated(where, table, skipped)
    write_table(folder, table)
    files.write_json(summary_file, summary_of(name, table, skipped, protocol))
    pictures = {"examples": examples(table, main, EXAMPLES), "worst": worst(table, main, WORST)}
    shown = drawn([*pictures["examples"], *pictures["worst"]], table, models, cases, protocol)
    for picture, keys in pictures.items():
        files.write_bytes(folder / f"{picture}.png", examples_figure([shown[key] for key in keys]))
    ranks = {key: rank for rank, key in enumerate(_ranked(table, main))}
    compared = sorted({*pictures["examples"], *pictures["worst"][:WORST_COMPARED]}, key=ranks.__getitem__)
    write_panels(folder, {ranks[key]: shown[key] for key in compared}, len(ranks))


def _remembering(model: Estimator) -> Estimator:
    kept: dict[tuple[bytes, tuple[str, ...]], np.ndarray] = {}
    left = REMEMBERED

    def predict(image: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        nonlocal left
        # By content: a protocol may show an image mirrored, too, under the same names.
        key = sha256(np.ascontiguousarray(image)).digest(), names
        if key in kept:
            return kept[key]
        values = model.predict(image, names)
        if values.nbytes <= left:
            kept[key], left = values, left - values.nbytes
        return values

    return replace(model, predict=predict)


def write_table(folder: Path, table: pd.DataFrame) -> None:
    """Leave a table of `harness.joined` in `folder`."""
    with files.atomic_path(folder / "per_image.parquet") as temporary:
        table.to_parquet(temporary, index=False)


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
    for name, keys in chosen.items():
        shown = drawn(keys, table, models, cases, protocol)
        files.write_bytes(folder / f"{name}.png", examples_figure(list(shown.values())))


def drawn(
    keys: Iterable[str], table: pd.DataFrame, models: Mapping[str, Estimator], cases: Cases, protocol: Protocol
) -> dict[str, Example]:
    """Return what figures show of the images `keys`, each once, in their order."""
    places = {cases.key(index): index for index in range(len(cases))}
    return {key: example(models, cases.load(places[key]), table, protocol) for key in dict.fromkeys(keys)}


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
