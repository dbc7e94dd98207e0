"""`depth-anything evaluate --calibrate`: which protocol gives the published numbers with the published checkpoints.

The evaluation code of the paper was never released. Its checkpoints were: what a variant of a protocol measures with
them, beside the 48 numbers of Table 2, says how far the variant can be trusted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.errors import UserError
from tasks.commands.evaluate_run import chosen_cases, tell
from tasks.commands.shared import model_path
from tasks.settings import params

SETS = ("kitti", "nyu", "sintel", "ddad", "eth3d", "diode")
METRICS = ("abs_rel", "delta1")


@dataclass(frozen=True)
class Checkpoint:
    """A published model: its row in Table 2, the file or folder it is looked for as, and its hub id."""

    row: str
    file: str
    hub: str


CHECKPOINTS = {
    "midas": Checkpoint(
        "MiDaS v3.1 BEiT-L-512 (trained on KITTI, NYU)", "dpt-beit-large-512", "Intel/dpt-beit-large-512"
    ),
    "vits": Checkpoint("Depth Anything ViT-S", "depth_anything_vits14.pth", "LiheYoung/depth-anything-small-hf"),
    "vitb": Checkpoint("Depth Anything ViT-B", "depth_anything_vitb14.pth", "LiheYoung/depth-anything-base-hf"),
    "vitl": Checkpoint("Depth Anything ViT-L", "depth_anything_vitl14.pth", "LiheYoung/depth-anything-large-hf"),
}

Figures = dict[str, dict[str, dict[str, float]]]
"""Variant -> checkpoint -> metric -> mean over the images of one set."""


def measure_published(given: argparse.Namespace) -> None:
    """Measure the checkpoints that are there on the sets that are there, and print them beside Table 2; write
    calibration.json.

    Raises UserError that says which files are wanted when no checkpoint or no set is there.
    """
    models = _models(given.checkpoints, given.hub)
    sets = [name for name in SETS if given.root and (Path(given.root) / name).is_dir()]
    wanted = [*_wanted_models(models, given.checkpoints), *_wanted_sets(sets, given.root)]
    if not models or not sets:
        raise UserError("--calibrate: nothing can be measured; wanted are\n" + "\n".join(wanted))
    results = {name: _measured(given, name, models) for name in sets}
    files.write_json(given.out / "calibration.json", results)
    print("\n".join(line for name, figures in results.items() for line in calibration_lines(name, figures)))
    for line in wanted:
        print(f"not measured: {line}", file=sys.stderr)


def _models(folder: Path | None, hub: bool) -> dict[str, str]:
    found = {}
    for title, one in CHECKPOINTS.items():
        if folder is not None and (folder / one.file).exists():
            found[title] = str(folder / one.file)
        elif hub:
            found[title] = str(model_path(one.hub))
    return found


def _wanted_models(found: Mapping[str, str], folder: Path | None) -> Iterator[str]:
    for title, one in CHECKPOINTS.items():
        if title not in found:
            yield f"{folder or '--checkpoints FOLDER'}/{one.file} (or --hub to fetch {one.hub})"


def _wanted_sets(found: list[str], root: str | None) -> Iterator[str]:
    for name in SETS:
        if name not in found:
            yield f"{root or '--root FOLDER'}/{name}: the set in its official layout"


def _measured(given: argparse.Namespace, dataset: str, models: Mapping[str, str]) -> Figures:
    from depth_model.comparison.adapters import Settings
    from depth_model.comparison.compare import Plan, compare
    from depth_model.evaluation import protocols

    figures: Figures = {}
    for variant, protocol in protocols.variants(dataset).items():
        if protocol.is_metric:
            continue
        root = Path(given.root) / dataset
        source = params.Source(reader=str(protocol.reader), root=str(root), options=dict(protocol.options))
        lists = (root / f"list-{variant}.txt", root / "list.txt")
        cases = chosen_cases(source, next((path for path in lists if path.is_file()), None))
        plan = Plan(
            dataset, models, Settings(given.short_side), cases, protocol, given.out / dataset / variant, given.processes
        )
        summary, table = compare(plan)
        tell(plan, summary, table)
        figures[variant] = {title: _chosen(summary["models"][title]) for title in models}
    return figures


def _chosen(values: Mapping[str, Any]) -> dict[str, float]:
    return {metric: values[metric] for metric in METRICS}


def published(dataset: str, title: str) -> dict[str, float]:
    """Return what Table 2 says of a checkpoint on a set."""
    from depth_model.comparison.tables import paper_tables

    table = paper_tables()["2"]
    row = dict(zip(table.columns, table.rows[CHECKPOINTS[title].row], strict=True))
    return {metric: row[dataset, metric] for metric in METRICS}


def distance(dataset: str, models: Mapping[str, Mapping[str, float]]) -> float:
    """Return the mean absolute difference of AbsRel and delta1 to Table 2, over the checkpoints of one variant."""
    gaps = []
    for title, values in models.items():
        paper = published(dataset, title)
        gaps += [abs(values[metric] - paper[metric]) for metric in METRICS]
    return sum(gaps) / len(gaps)


def calibration_lines(dataset: str, figures: Figures) -> list[str]:
    """Return a line per variant and checkpoint, measured beside published, and the variant that fits best."""
    lines = [f"{dataset:22}{'':10}{'AbsRel':>10}{'Table 2':>10}{'delta1':>10}{'Table 2':>10}"]
    for variant, models in figures.items():
        for title, values in models.items():
            pairs = ((values[metric], published(dataset, title)[metric]) for metric in METRICS)
            cells = "".join(f"{measured:10.4f}{paper:10.3f}" for measured, paper in pairs)
            lines.append(f"{variant:22}{title:10}{cells}")
    best = min(figures, key=lambda variant: distance(dataset, figures[variant]))
    lines.append(f"best: {best}, mean difference {distance(dataset, figures[best]):.4f}")
    return lines
