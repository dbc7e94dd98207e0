"""Which encoder is the best to fine-tune (Tables 10 and 11), as DVC experiments on the params.yaml here.

    python -m experiments.encoders                                       # student, packaged and none; then the table
    python -m experiments.encoders --initial student hub path/to/midas   # encoders as in finetune_metric.<set>.initial
    python -m experiments.encoders --initial path/to/midas+decoder       # MiDaS or ZoeDepth with its own decoder
    python -m experiments.encoders --show                                # only show what was measured, in any setting

In each experiment every model of `finetune_metric` and `finetune_semantic` starts from the same encoder. Results go to
results/ablations.jsonl and are kept there as those of `experiments.ablations` are.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from depth_model.comparison.ablations import read_results, spread
from depth_model.errors import UserError
from depth_model.shown import run_command
from experiments.ablations import Row, run_rows, setting_of
from tasks.settings import params
from tasks.workspace.paths import MODELS

TABLE = "encoders"
INITIALS = ("student", "packaged", "none")
WITH_DECODER = "+decoder"
"""Behind a folder of MiDaS or ZoeDepth: fine-tuning starts from its decoder too."""
METRIC_DEPTH = ("abs_rel", "delta1", "rmse")
SEMANTIC = ("miou", "miou_multi_scale", "pixel_accuracy")


def rows_of(initials: Sequence[str], settings: params.Params) -> list[Row]:
    """Return a row for each of `initials`: everything that is fine-tuned starts from it."""
    names = [f"finetune_metric.{name}" for name in settings.finetune_metric]
    names += [f"finetune_semantic.{name}" for name in settings.finetune_semantic]
    if not names:
        raise UserError("params.yaml: finetune_metric and finetune_semantic are empty: name what is fine-tuned")
    return [Row(initial, _overrides(initial, names)) for initial in initials]


def _overrides(initial: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return what makes everything in `names` start from `initial`: a model of the pipeline, an encoder or a path."""
    if initial in MODELS:
        return tuple(f"{name}.initial=models/{initial}" for name in names)
    source = initial.removesuffix(WITH_DECODER)
    key = re.sub(r"[^a-z0-9_]", "_", Path(source).name.lower())
    whole = [f"{name}.start=all" for name in names] if source != initial else []
    return (f"+models.{key}.source={source}", *(f"{name}.initial=data/models/{key}" for name in names), *whole)


def measured(settings: params.Params, name: str) -> dict[str, Any]:
    """Return the evaluations of an experiment: "metric/<set>" or "semantic/<set>" -> model -> metric -> value."""
    import dvc.api

    sets = [f"metric/{one}" for one in settings.evaluate_metric]
    sets += [f"semantic/{one}" for one in settings.evaluate_semantic]
    read = {one: json.loads(dvc.api.read(f"reports/evaluation/{one}.json", rev=name)) for one in sets}
    return {one: summary["models"] for one, summary in read.items()}


def render(initials: Sequence[str], results: Sequence[Mapping[str, Any]], setting: str) -> str:
    """Return a Markdown table: a line per set, model and metric, a column per encoder, mean ± deviation over seeds.

    Only experiments of `setting` count. Of a set's own constant baseline (metric depth) the lines are equal everywhere.
    """
    chosen = [one for one in results if one["table"] == TABLE and one["setting"] == setting]
    lines = [["set", "model", "metric", *initials], ["---"] * 3 + ["---:"] * len(initials)]
    for name, model, metric in _figures(chosen):
        cells = [[one["metrics"][name][model][metric] for one in chosen if one["row"] == row] for row in initials]
        lines.append([name, model, metric, *(spread(values) for values in cells)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _figures(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    if not results:
        return []
    return [
        (name, model, metric)
        for name, models in results[0]["metrics"].items()
        for model, values in models.items()
        for metric in (METRIC_DEPTH if name.startswith("metric/") else SEMANTIC)
        if metric in values
    ]


def main() -> None:
    """Run or show the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--initial", nargs="+", default=list(INITIALS), help="encoders that are compared")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default the seed of params.yaml")
    parser.add_argument("--show", action="store_true", help="run nothing; print what was measured in any setting")
    given = parser.parse_args()
    settings = params.load()
    current = setting_of(settings)
    if not given.show:
        rows, seeds = rows_of(given.initial, settings), given.seeds or [settings.seed]
        run_rows(TABLE, rows, seeds, settings, lambda name: measured(settings, name))
        print(render(given.initial, read_results(), current))
        return
    for setting in dict.fromkeys(one["setting"] for one in read_results() if one["table"] == TABLE):
        now = "parameters and code as now" if setting == current else "other parameters or code than now"
        print(f"Setting {setting[:8]}, {now}:\n\n{render(given.initial, read_results(), setting)}\n")


if __name__ == "__main__":
    run_command(main)
