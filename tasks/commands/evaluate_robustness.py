"""`depth-anything evaluate --robustness`: what weather, night, blur, noise and compression cost each model.

Every corruption in every severity is an evaluation of its own, in a folder of its own, so that a stopped command goes
on. The summary is RoboDepth's (Kong et al. 2023): the error of depth estimation DEE = (AbsRel - delta1 + 1) / 2, the
corruption error of a model against that of the first, and its resilience, the share of 1 - DEE that is left.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from depth_model import files
from depth_model.errors import UserError
from tasks.commands.evaluate_run import changed, tell

if TYPE_CHECKING:
    from depth_model.comparison.compare import Plan

Scores = Mapping[str, Mapping[str, float]]
"""Model -> metric -> mean over the images."""

CLEAN = "clean"


def measure_robustness(plan: Plan, given: argparse.Namespace) -> None:
    """Evaluate the models of `plan` on clean and on corrupted images, print AbsRel and delta1 by corruption, and write
    robustness.json.

    Raises UserError for predictions made elsewhere, which have seen the clean images only.
    """
    from depth_model.evaluation.protocols import CORRUPTIONS

    if plan.settings.predictions is not None:
        raise UserError("--robustness: stored predictions are of the images as they were; give the model itself")
    clean = _measured(plan, None, 0)
    found = {
        kind: {severity: _measured(plan, kind, severity) for severity in given.severities}
        for kind in given.robustness or CORRUPTIONS
    }
    mean = {kind: _mean(list(by_severity.values())) for kind, by_severity in found.items()}
    summary = {
        "protocol": plan.protocol.name,
        "severities": given.severities,
        CLEAN: clean,
        "mean": mean,
        "by_severity": found,
        "corruption_error": _corruption_errors(found),
        "resilience": _resilience(clean, found),
    }
    files.write_json(plan.folder / "robustness.json", summary)
    print("\n".join(robustness_lines(clean, mean, summary)))


def _measured(plan: Plan, kind: str | None, severity: int) -> Scores:
    from depth_model.comparison.compare import compare
    from depth_model.evaluation.harness import CONSTANT

    if kind is not None:
        protocol = changed(plan.protocol, [("corruption", kind), ("severity", str(severity))])
        plan = replace(plan, protocol=protocol, folder=plan.folder / f"{kind}-{severity}")
    summary, table = compare(plan)
    tell(plan, summary, table)
    print(f"{kind or CLEAN} {severity or ''}".rstrip(), file=sys.stderr)
    return {
        model: {metric: values[metric] for metric in ("abs_rel", "delta1")}
        for model, values in summary["models"].items()
        if model != CONSTANT
    }


def _mean(scores: Sequence[Scores]) -> Scores:
    return {
        model: {metric: sum(one[model][metric] for one in scores) / len(scores) for metric in values}
        for model, values in scores[0].items()
    }


def depth_error(score: Mapping[str, float]) -> float:
    """Return RoboDepth's error of depth estimation, 0 at best."""
    return (score["abs_rel"] - score["delta1"] + 1) / 2


def _corruption_errors(found: Mapping[str, Mapping[int, Scores]]) -> dict[str, float]:
    """Return model -> mean over corruptions of its error, summed over severities, as a share of the first model's."""
    sums = [
        {model: sum(depth_error(one[model]) for one in scores.values()) for model in next(iter(scores.values()))}
        for scores in found.values()
    ]
    first = next(iter(sums[0]))
    return {model: sum(one[model] / one[first] for one in sums) / len(sums) for model in sums[0]}


def _resilience(clean: Scores, found: Mapping[str, Mapping[int, Scores]]) -> dict[str, float]:
    """Return model -> mean over corruptions and severities of (1 - DEE corrupted) / (1 - DEE clean)."""
    scores = [one for by_severity in found.values() for one in by_severity.values()]
    return {
        model: sum(1 - depth_error(one[model]) for one in scores) / len(scores) / (1 - depth_error(clean[model]))
        for model in clean
    }


def robustness_lines(clean: Scores, mean: Mapping[str, Scores], summary: Mapping[str, Mapping]) -> Iterator[str]:
    """Yield the table: a row per corruption, AbsRel and delta1 of every model; then the two summary figures."""
    width = 2 + max(len(CLEAN), *map(len, mean), len("corruption error"))
    column = 2 + max(16, *map(len, clean))
    yield f"{'AbsRel, delta1':{width}}" + "".join(f"{model:>{column}}" for model in clean)
    for kind, scores in {CLEAN: clean, **mean}.items():
        cells = (f"{one['abs_rel']:.4f}  {one['delta1']:.4f}" for one in (scores[model] for model in clean))
        yield f"{kind:{width}}" + "".join(f"{cell:>{column}}" for cell in cells)
    for title, key in (("corruption error", "corruption_error"), ("resilience", "resilience")):
        yield f"{title:{width}}" + "".join(f"{summary[key][model]:>{column}.4f}" for model in clean)
    yield f"each row the mean over severities {', '.join(map(str, summary['severities']))}"
