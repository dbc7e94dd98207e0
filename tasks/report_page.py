"""The HTML of the report, from values to one string; reads and writes no file but its own style sheet."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from depth_model.evaluation.metrics import METRICS, Metric

SHOWN = tuple(metric for metric in METRICS if metric.key in ("abs_rel", "delta1", "rmse", "silog"))
COMPARED = ("teacher", "student")
_INTRODUCTION = (
    "A teacher learned affine-invariant disparity on labeled images and labelled the unlabeled ones; a "
    "re-initialised student learned from both. Below, both are measured on images that neither was trained on: every "
    "prediction is aligned to the truth of its image by least squares in disparity, then compared as depth. "
    "“Constant” is the best constant disparity per image: what a model must beat to have seen anything."
)

Table = Mapping[str, Mapping[str, Mapping[str, float]]]


def page(
    *,
    figures: Table,
    sets: Mapping[str, Mapping[str, Any]],
    examples: Mapping[str, bytes],
    curves: bytes,
    catalogs: Mapping[str, Mapping[str, Mapping[str, Any]]],
    quarantine: Sequence[tuple[str, str, int]],
    parameters: Mapping[str, Any],
) -> str:
    """Return the whole page. `figures` is reports/metrics.json, `sets` the summary per evaluation set, `examples`
    and `curves` are PNG bytes, `quarantine` holds (source, reason, count)."""
    sections = [
        f"<h1>Open Depth Anything</h1><p class='soft'>Report of one run of the pipeline</p><p>{_INTRODUCTION}</p>",
        "<h2>Teacher beside student, zero-shot</h2>" + _result_table(figures, sets),
        "".join(_verdict(figures)),
        "<h2>Examples</h2>" + "".join(_example(name, sets[name], png) for name, png in examples.items()),
        "<h2>Training</h2>" + _image(curves, "loss terms of both models, and the fraction of tokens below alpha"),
        "<h2>Data</h2>" + _data_table(catalogs) + _quarantine(quarantine),
        "<h2>Parameters</h2>" + _parameters(parameters),
    ]
    style = Path(__file__).with_name("assets").joinpath("report.css").read_text(encoding="utf-8")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Open Depth Anything: report</title><style>{style}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _table(head: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Return a table; each row is (its CSS class, its cells as HTML)."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(
        f"<tr class='{name}'>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for name, cells in rows
    )
    return f"<div class='wide'><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _result_table(figures: Table, sets: Mapping[str, Mapping[str, Any]]) -> str:
    head = ["set", "images", "model", *(f"{one.title} {'↑' if one.higher_is_better else '↓'}" for one in SHOWN)]
    rows = []
    for name, models in figures.items():
        images = str(sets[name]["images"]) if name in sets else ""
        for place, (model, measured) in enumerate(models.items()):
            first = [escape(name), images] if place == 0 else ["", ""]
            cells = [_marked(metric, models, model, measured[metric.key]) for metric in SHOWN]
            rows.append(("mean" if name == "mean" else "", [*first, escape(model), *cells]))
    return _table(head, rows)


def _marked(metric: Metric, models: Mapping[str, Mapping[str, float]], model: str, value: float) -> str:
    rivals = [models[other][metric.key] for other in COMPARED if other != model]
    best = model in COMPARED and all(metric.better(value, rival) for rival in rivals)
    return f"<span class='best'>{value:.4f}</span>" if best else f"{value:.4f}"


def _verdict(figures: Table) -> list[str]:
    sentences = []
    for name, models in figures.items():
        if name == "mean":
            continue
        teacher, student = (models[model]["abs_rel"] for model in COMPARED)
        change = (student - teacher) / teacher
        compared = f"{abs(change):.1%} {'lower' if change < 0 else 'higher'}"
        sentences.append(f"<li>{escape(name)}: the student's AbsRel is {compared} than its teacher's.</li>")
    return ["<ul>", *sentences, "</ul>"]


def _example(name: str, summary: Mapping[str, Any], png: bytes) -> str:
    skipped = summary["skipped"]
    note = f" {len(skipped)} images could not be measured." if skipped else ""
    caption = f"From the student's best image to its worst; {summary['images']} images measured.{note}"
    return f"<h3>{escape(name)}</h3><p class='soft'>{caption}</p>{_image(png, f'examples of {name}')}"


def _image(png: bytes, description: str) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f"<p style='max-width:none'><img alt='{escape(description)}' src='data:image/png;base64,{data}'></p>"


def _data_table(catalogs: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    rows = [
        ("", [escape(role), escape(name), str(one["samples"]), str(one.get("quarantined", ""))])
        for role, catalog in catalogs.items()
        for name, one in catalog.items()
    ]
    return _table(["role", "source", "samples", "in quarantine"], rows)


def _quarantine(reasons: Sequence[tuple[str, str, int]]) -> str:
    if not reasons:
        return "<p>No input was refused.</p>"
    rows = [("", [escape(source), escape(reason), str(count)]) for source, reason, count in reasons]
    return "<h3>Refused inputs</h3>" + _table(["source", "reason", "inputs"], rows)


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for key, value in parameters.items():
        pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return pairs


def _parameters(parameters: Mapping[str, Any]) -> str:
    return _table(["parameter", "value"], [("", [escape(key), escape(str(value))]) for key, value in _flat(parameters)])
