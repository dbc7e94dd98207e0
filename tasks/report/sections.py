"""The report and its sections, from values to HTML. Their words stand in the templates; reads no file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from depth_model.evaluation.figures import LARGEST_ERROR
from depth_model.evaluation.verdict import BETTER, CONSTANT, TOO_FEW, headline, sentence, told
from depth_model.metrics.depth import METRIC_DEPTH_METRICS, METRICS, Metric
from depth_model.shards.target_statistics import DEPTH_EDGES, degenerate, median_bin
from tasks.gate.statistics import ACCEPTED, beyond
from tasks.report import run_graph
from tasks.report.pages import render

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = [metric for metric in METRICS if metric.key in ("abs_rel", "delta1", "rmse", "silog")]
_SHOWN_IN_METERS = [
    metric for metric in METRIC_DEPTH_METRICS if metric.key in ("abs_rel", "delta1", "rmse", "log10", "silog")
]
_SHOWN_OF_SEGMENTATION = [
    Metric("miou", "mIoU", True),
    Metric("miou_multi_scale", "mIoU, multi-scale", True),
    Metric("pixel_accuracy", "pixel accuracy", True),
]
_COMPARED = ("teacher", "student")
_LEFT_OUT = {
    "leak": "shows the picture of an evaluation image",
    "near_duplicate": "repeats another training image",
    "exact_duplicate": "is the same file as another training image",
}

_REPEATS = {
    "leak": "an evaluation image; left out of training",
    "near_duplicate": "another training image; left out",
    "exact_duplicate": "the same file; left out",
    "finetuning_leak": "measured on; not left out",
    "trained_on": "measured on by fine-tuned models; not left out",
}
_FIXED = {"Did it get better?": "verdict", "Pictures": "pictures", "Worst cases": "worst"}
SHOWN_CASES, SHOWN_WORST = 24, 12

Table = Mapping[str, Mapping[str, Mapping[str, float]]]
Summaries = Mapping[str, Mapping[str, Any]]


def page(
    *,
    comparison: Mapping[str, Any],
    figures: Table,
    sets: Summaries,
    galleries: Mapping[str, Sequence[Mapping[str, Any]]],
    parameters: Mapping[str, Any],
    verdicts: Iterable[str],
    more: Mapping[str, Markup],
    **shown: Any,
) -> str:
    """Return the whole page. `comparison` is reports/tables/comparison.json, which is told first with `verdicts`,
    sentences on further models; `figures` reports/metrics.json, `sets` the summary per evaluation set, `galleries` what
    `read_panels` returns of it, `more` further sections by title.

    `shown` are `history` (see there) and `worst`, rows of `worst_cases`.
    """
    outcome, first = headline(comparison)
    titles = {title: f"section-{number}" for number, title in enumerate(more)}
    return render(
        "report",
        outcome=outcome,
        headline=first,
        told=[*told(comparison), *verdicts],
        sections=_FIXED | titles | {"Parameters": "parameters"},
        by_set=[(rival, *row) for rival, one in comparison["against"].items() for row in _by_set(one["sets"])],
        metrics=_SHOWN,
        sets={name: {"models": one, "images": sets.get(name, {}).get("images", "")} for name, one in figures.items()},
        best={(name, *one) for name, models in figures.items() if _enough(comparison, name) for one in _best(models)},
        minimum=comparison.get("minimum", ""),
        verdicts={
            name: _verdict(models, _enough(comparison, name)) for name, models in figures.items() if name != "mean"
        },
        captions={name: _caption(summary) for name, summary in sets.items()},
        galleries=shown_cases(galleries),
        largest_error=LARGEST_ERROR,
        parameters=list(_flat(parameters)),
        more=more,
        **shown,
    )


def shown_cases(galleries: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the cases of every set, of many sets fewer, so that the page stays small: always the worst ones."""
    each = max(2, SHOWN_CASES // max(1, len(galleries)))
    return {name: list(cases)[-each:] for name, cases in galleries.items()}


def _enough(comparison: Mapping[str, Any], name: str) -> bool:
    """Return whether enough images of a set (or of all: `mean`) were measured to tell teacher and student apart."""
    one = comparison["against"].get(_COMPARED[0], {"all": None, "sets": {}})
    found = one["all"] if name == "mean" else one["sets"].get(name)
    return found is not None and found["outcome"] != TOO_FEW


def worst_cases(tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, ...]]:
    """Return (set, image, AbsRel of student, teacher, constant, remark) of the images on which the student is worst, of
    the tables of `harness.joined` by set; failures come first."""
    rows = []
    for name, table in tables.items():
        errors = table.pivot(index="key", columns="model", values="abs_rel")
        of_student = table[table["model"] == _COMPARED[1]].set_index("key")
        for key, one in of_student.iterrows():
            shown = [_error(errors.loc[key].get(model)) for model in (*_COMPARED[::-1], CONSTANT)]
            rank = math.inf if math.isnan(one["abs_rel"]) else one["abs_rel"]
            rows.append((-rank, (name, str(key), *shown, one["failure"] or one["remark"])))
    return [row for _, row in sorted(rows)[:SHOWN_WORST]]


def _error(value: float | None) -> str:
    return "" if value is None else "failed" if math.isnan(value) else f"{value:.3f}"


def _by_set(sets: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield (set, what came out) of the comparison with one model."""
    for name, one in sets.items():
        yield name, f"{sentence(one).replace('->', '→')}{'' if one['outcome'] == BETTER else ': ' + one['outcome']}"


def history(teacher: str, start: str, labels: bool) -> str:
    """Return in a sentence what was trained from what: by which `teacher` from elsewhere ("" for a trained one), the
    student from which whole model `start` ("" for an encoder), and whether with `labels`."""
    first = "A teacher learned affine-invariant disparity on labeled images and labeled the unlabeled ones"
    if teacher:
        first = f"{teacher} was the teacher, which labeled the unlabeled images"
    student = f"a student that started as {start}" if start else "a re-initialized student"
    return f"{first}; {student} learned from {'both' if labels else 'these labels alone'}."


def _best(models: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, str]]:
    """Yield (model, key of metric) for the better of teacher and student, never for the constant."""
    for metric in _SHOWN:
        for model, rival in (_COMPARED, _COMPARED[::-1]):
            if rival not in models:
                yield model, metric.key
            elif model in models and metric.better(models[model][metric.key], models[rival][metric.key]):
                yield model, metric.key


def _verdict(models: Mapping[str, Mapping[str, float]], enough: bool) -> str:
    """Return who has the lower AbsRel on a set, whether `enough` images tell, and who does not beat the constant."""
    compared = [model for model in _COMPARED if model in models]  # a folder of predictions as teacher is not measured
    teacher, student, constant = (models[model]["abs_rel"] for model in (compared[0], compared[-1], "constant"))
    change = (student - teacher) / teacher if teacher else 0.0
    if len(compared) == 1:
        sentence = f"the student's AbsRel is {student:.4f}"
    elif student == teacher:
        sentence = "student and teacher have the same AbsRel"
    else:
        sentence = f"the student's AbsRel is {abs(change):.1%} {'lower' if change < 0 else 'higher'} than its teacher's"
    sentence += "" if enough or len(compared) == 1 else f", from {TOO_FEW}"
    beaten = [model for model in compared if models[model]["abs_rel"] >= constant]
    return f"{sentence}; not better than the constant: {' and '.join(beaten)}" if beaten else sentence


def _caption(summary: Mapping[str, Any]) -> str:
    caption = f"From the student's best image to its worst ones; {_counted(summary['images'], 'image')} measured."
    if skipped := Counter(one["reason"] for one in summary["skipped"]):
        reasons = "; ".join(f"{reason} ({images})" for reason, images in skipped.most_common(3))
        caption += f" {_counted(skipped.total(), 'image')} could not be measured: {reasons}."
    for model, images in summary["failures"].items():
        if images:
            caption += f" The {model} failed on {_counted(images, 'image')}."
    for model, images in summary["constant_predictions"].items():
        caption += f" The {model}'s prediction is one constant on {_counted(images, 'image')}."
    return caption


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def audit_section(summary: Mapping[str, Any], pictures: Mapping[str, bytes]) -> Markup:
    """Return the HTML of `summary` (reports/audit/summary.json) with `pictures`, JPEG bytes by name, of its pairs."""
    found = summary["sources"].values()
    excluded = {reason: sum(one[reason] for one in found) for reason in _LEFT_OUT}
    images = sum(one["images"] for one in found)
    return render(
        "audit", **summary, pictures=pictures, reasons=_LEFT_OUT, repeats=_REPEATS, excluded=excluded, images=images
    )


def collection_section(found: Summaries, figures: Mapping[str, bytes], tolerance: float) -> Markup:
    """Return the HTML of `found`, the content of `data/statistics/<role>.json` by role, with a PNG per role.

    It says what moved beyond `tolerance` since the collection that was accepted.
    """
    compared = [role for role, one in found.items() if one["compared"]]
    moved = [f"{role}: {line}" for role in compared for line in beyond(found[role], tolerance)]
    return render(
        "collection",
        roles=found,
        figures=figures,
        compared=compared,
        moved=moved,
        accepted=ACCEPTED,
        tolerance=tolerance,
        degenerate=degenerate,
        median_depth=_median_depth,
    )


def _median_depth(counts: Sequence[int]) -> str:
    index = median_bin(counts)
    if index in (0, len(DEPTH_EDGES)):
        return f"below {DEPTH_EDGES[0]:g} m" if index == 0 else f"above {DEPTH_EDGES[-1]:g} m"
    return f"{DEPTH_EDGES[index - 1]:.2g} to {DEPTH_EDGES[index]:.2g} m"


def left_out_section(rows: Iterable[tuple[str, int, int]]) -> Markup:
    """Return the HTML on pseudo labels that the student did without: `rows` of (source, left out, of how many)."""
    return render("left_out", rows=rows)


def metric_section(
    sets: Summaries, galleries: Mapping[str, Sequence[Mapping[str, Any]]], told: Sequence[str] = ()
) -> Markup:
    """Return the HTML of `sets` (summary by name) and what `read_panels` returns of each: depth as predicted,
    unaligned; `told` are sentences on the models."""
    return render("metric", sets=sets, galleries=shown_cases(galleries), metrics=_SHOWN_IN_METERS, told=told)


def scenes_section(summary: Mapping[str, Any], pictures: Sequence[bytes]) -> Markup:
    """Return the HTML of `summary` (reports/collection/scenes.json) with `pictures`, a JPEG for each scene."""
    return render("scenes", **summary, pictures=pictures)


def semantic_section(sets: Summaries, pictures: Mapping[str, bytes], told: Sequence[str] = ()) -> Markup:
    """Return the HTML of `sets` (segmentation summary by name), pictures by title, and sentences on models."""
    return render("semantic", sets=sets, pictures=pictures, metrics=_SHOWN_OF_SEGMENTATION, told=told)


def data_section(catalogs: Mapping[str, Any], quarantine: Sequence[tuple[str, str, int]]) -> Markup:
    """Return the HTML of the catalogs by role, and of the (source, reason, count) of what was refused."""
    return render("data", catalogs=catalogs, quarantine=quarantine)


def training_section(curves: Mapping[str, bytes]) -> Markup:
    """Return the HTML of pictures of curves by title."""
    return render("training", curves=curves)


def run_section(stages: Sequence[run_graph.Stage], origin: Iterable[tuple[str, str]]) -> Markup:
    """Return the HTML of the graph of `stages`, and of what the page was made from, (what, value)."""
    seconds = [one.seconds for one in stages if one.seconds is not None]
    return render(
        "run",
        stages=stages,
        drawn=run_graph.picture(stages),
        counted=Counter(one.state for one in stages),
        total=run_graph.duration(sum(seconds)) if seconds else "",
        signs=run_graph.STATES,
        origin=list(origin),
    )
