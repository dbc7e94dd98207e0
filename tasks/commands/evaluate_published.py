"""`depth-anything evaluate --calibrate`: which protocol gives the published numbers with the published checkpoints.

The evaluation code of the paper was never released. Its checkpoints were: what a variant of a protocol measures with
them, beside the numbers of Tables 2 to 5, says how far the variant can be trusted. The same figures are lines of the
claim ledger (`depth_model.comparison.claims`).
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.errors import UserError
from depth_model.shown import shown
from tasks.commands.evaluate_run import chosen_cases, tell
from tasks.commands.shared import model_path
from tasks.settings import params

METRICS = ("abs_rel", "delta1")

Figures = dict[str, dict[str, dict[str, float]]]
"""Variant -> checkpoint -> number of images and means over them by metric, of one set."""


def measure_published(given: argparse.Namespace) -> None:
    """Measure the checkpoints that are there on the sets that are there, and print them beside Tables 2 to 5; write
    calibration.json, and claims.jsonl for the claim ledger.

    Raises UserError that says which files are wanted when no checkpoint or no set is there.
    """
    from depth_model.comparison import claims

    models = _models(given.checkpoints, given.hub)
    roots = {name: Path(given.root or "") / claims.FOLDERS.get(name, name) for name in claims.sets()}
    sets = [name for name, root in roots.items() if given.root and root.is_dir()]
    wanted = [*_wanted_models(models, given.checkpoints), *_wanted_sets(sets, given.root)]
    results = {name: found for name in sets if (found := _measured(given, name, roots[name], models))}
    if not results:
        raise UserError("--calibrate: nothing can be measured; wanted are\n" + "\n".join(wanted))
    files.write_json(given.out / "calibration.json", results)
    lines = [json.dumps(line, sort_keys=True) for line in _claims(results)]
    files.write_text(given.out / "claims.jsonl", "".join(f"{line}\n" for line in lines))
    print("\n".join(line for name, figures in results.items() for line in calibration_lines(name, figures)))
    for line in wanted:
        print(f"not measured: {line}", file=sys.stderr)


def _models(folder: Path | None, hub: bool) -> dict[str, str]:
    from depth_model.comparison import claims

    found = {}
    for title, one in claims.checkpoints().items():
        if folder is not None and (folder / one.file).exists():
            found[title] = str(folder / one.file)
        elif hub and one.hub:
            found[title] = str(model_path(one.hub))
    return found


def _wanted_models(found: Mapping[str, str], folder: Path | None) -> Iterator[str]:
    from depth_model.comparison import claims

    for title, one in claims.checkpoints().items():
        if title not in found:
            hub = f" (or --hub to fetch {one.hub})" if one.hub else ""
            yield f"{folder or '--checkpoints FOLDER'}/{one.file}{hub}"


def _wanted_sets(found: list[str], root: str | None) -> Iterator[str]:
    from depth_model.comparison import claims

    for name in claims.sets():
        if name not in found:
            yield f"{root or '--root FOLDER'}/{claims.FOLDERS.get(name, name)}: the set in its official layout"


def _measured(given: argparse.Namespace, dataset: str, root: Path, models: Mapping[str, str]) -> Figures:
    from depth_model.comparison import claims
    from depth_model.comparison.adapters import Settings
    from depth_model.comparison.compare import Plan, compare
    from depth_model.evaluation import protocols

    figures: Figures = {}
    for variant, protocol in protocols.variants(dataset).items():
        chosen = {
            title: path
            for title, path in models.items()
            if (claimed := claims.claim(dataset, title)) and claimed.is_metric == protocol.is_metric
        }
        if not chosen:
            continue
        source = params.Source(reader=str(protocol.reader), root=str(root), options=dict(protocol.options))
        lists = (root / f"list-{variant}.txt", root / "list.txt")
        cases = chosen_cases(source, next((path for path in lists if path.is_file()), None))
        settings = Settings(given.short_side, protocol.network_size)
        plan = Plan(dataset, chosen, settings, cases, protocol, given.out / dataset / variant, given.processes)
        summary, table = compare(plan)
        tell(plan, summary, table)
        figures[variant] = {title: _chosen(dataset, title, summary) for title in chosen}
    return figures


def _chosen(dataset: str, title: str, summary: Mapping[str, Any]) -> dict[str, float]:
    measured = summary["models"][title]
    return {"images": summary["images"], **{metric: measured[metric] for metric in published(dataset, title)}}


def published(dataset: str, title: str) -> Mapping[str, float]:
    """Return what the paper says of a checkpoint on a set: metric -> value."""
    from depth_model.comparison import claims

    claimed = claims.claim(dataset, title)
    return {} if claimed is None else claimed.values


def _claims(results: Mapping[str, Figures]) -> Iterator[dict[str, Any]]:
    """Yield the lines of the claim ledger."""
    from depth_model.comparison import claims
    from tasks.tracking.mlflow_runs import git_commit

    made = {
        "commit": git_commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": shown(shlex.join(["depth-anything", *sys.argv[1:]])),
    }
    for dataset, figures in results.items():
        for variant, models in figures.items():
            for title, values in models.items():
                claimed = claims.claim(dataset, title)
                assert claimed is not None
                place = {"table": claimed.table, "row": claimed.row, "set": dataset, "variant": variant}
                means = {metric: values[metric] for metric in claimed.values}
                yield {**place, **made, "images": values["images"], "values": means}


def distance(dataset: str, models: Mapping[str, Mapping[str, float]]) -> float:
    """Return the mean absolute difference of AbsRel and delta1 to the paper, over the checkpoints of one variant."""
    gaps = []
    for title, values in models.items():
        paper = published(dataset, title)
        gaps += [abs(values[metric] - paper[metric]) for metric in METRICS]
    return sum(gaps) / len(gaps)


def calibration_lines(dataset: str, figures: Figures) -> list[str]:
    """Return a line per variant and checkpoint, measured beside published, and the variant that fits best."""
    lines = [f"{dataset:22}{'':16}{'AbsRel':>10}{'paper':>10}{'delta1':>10}{'paper':>10}"]
    for variant, models in figures.items():
        for title, values in models.items():
            pairs = ((values[metric], published(dataset, title)[metric]) for metric in METRICS)
            cells = "".join(f"{measured:10.4f}{paper:10.3f}" for measured, paper in pairs)
            lines.append(f"{variant:22}{title:16}{cells}")
    best = min(figures, key=lambda variant: distance(dataset, figures[variant]))
    lines.append(f"best: {best}, mean difference {distance(dataset, figures[best]):.4f}")
    return lines
