"""The HTML of the report, from values to one string; reads and writes no file but its own style sheet."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import count
from pathlib import Path
from typing import Any

from depth_model.metrics.depth import METRICS, Metric

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
    more: Mapping[str, str],
    parameters: Mapping[str, Any],
) -> str:
    """Return the whole page. `figures` is reports/metrics.json, `sets` the summary per evaluation set, `examples`
    and `curves` are PNG bytes, `quarantine` holds (source, reason, count), `more` the HTML of further sections."""
    sections = [
        f"<h1>Open Depth Anything</h1><p class='soft'>Report of one run of the pipeline</p><p>{_INTRODUCTION}</p>",
        "<h2>Teacher beside student, zero-shot</h2>" + _result_table(figures, sets),
        _verdict(figures),
        "<h2>Examples</h2>" + "".join(_example(name, sets[name], png) for name, png in examples.items()),
        "<h2>Training</h2>" + image_element(curves, "loss terms of both models, fraction of tokens below alpha"),
        "<h2>Data</h2>" + _data_table(catalogs) + _quarantine(quarantine),
        *(f"<h2>{escape(title)}</h2>{section}" for title, section in more.items()),
        "<h2>Parameters</h2>" + _parameters(parameters),
    ]
    return document("Open Depth Anything: report", "".join(sections))


def document(title: str, body: str) -> str:
    """Return a self-contained page with the HTML `body`, in the style of the report."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{title}</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def html_table(head: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]], texts: int) -> str:
    """Return a table; each row is (its CSS class, its cells as HTML). The first `texts` columns hold text."""

    def cells(tag: str, values: Iterable[str]) -> str:
        style = (" class='text'" if place < texts else "" for place in count())
        return "".join(f"<{tag}{one}>{value}</{tag}>" for one, value in zip(style, values))

    body = "".join(f"<tr class='{name}'>{cells('td', values)}</tr>" for name, values in rows)
    return f"<div class='wide'><table><thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table></div>"


def _result_table(figures: Table, sets: Mapping[str, Mapping[str, Any]]) -> str:
    head = ["set", "model", *(f"{one.title}&nbsp;{'↑' if one.higher_is_better else '↓'}" for one in SHOWN), "images"]
    rows = []
    for name, models in figures.items():
        images = str(sets[name]["images"]) if name in sets else ""
        for place, (model, measured) in enumerate(models.items()):
            cells = [_marked(metric, models, model, measured[metric.key]) for metric in SHOWN]
            first = place == 0
            row = [escape(name) if first else "", escape(model), *cells, images if first else ""]
            rows.append((" ".join(["set"] * first + ["mean"] * (name == "mean")), row))
    return html_table(head, rows, texts=2)


def _marked(metric: Metric, models: Mapping[str, Mapping[str, float]], model: str, value: float) -> str:
    rivals = [models[other][metric.key] for other in COMPARED if other != model]
    best = model in COMPARED and all(metric.better(value, rival) for rival in rivals)
    return f"<span class='best'>{value:.4f}</span>" if best else f"{value:.4f}"


def _verdict(figures: Table) -> str:
    """Return a sentence per set on who has the lower AbsRel, and on who does not beat the constant."""
    sentences = [f"<li>{escape(name)}: {_compared(models)}.</li>" for name, models in figures.items() if name != "mean"]
    return f"<ul>{''.join(sentences)}</ul>"


def _compared(models: Mapping[str, Mapping[str, float]]) -> str:
    teacher, student, constant = (models[model]["abs_rel"] for model in (*COMPARED, "constant"))
    change = (student - teacher) / teacher if teacher else 0.0
    if student == teacher:
        sentence = "student and teacher have the same AbsRel"
    else:
        sentence = f"the student's AbsRel is {abs(change):.1%} {'lower' if change < 0 else 'higher'} than its teacher's"
    beaten = [model for model in COMPARED if models[model]["abs_rel"] >= constant]
    return f"{sentence}; not better than the constant: {' and '.join(beaten)}" if beaten else sentence


def _example(name: str, summary: Mapping[str, Any], png: bytes) -> str:
    caption = f"From the student's best image to its worst; {_counted(summary['images'], 'image')} measured."
    if summary["skipped"]:
        caption += f" {_counted(len(summary['skipped']), 'image')} could not be measured: {_reasons(summary)}."
    for model, images in summary["constant_predictions"].items():
        caption += f" The {model}'s prediction is one constant on {_counted(images, 'image')}."
    return f"<h3>{escape(name)}</h3><p class='soft'>{escape(caption)}</p>{image_element(png, f'examples of {name}')}"


def _reasons(summary: Mapping[str, Any]) -> str:
    counts = Counter(one["reason"] for one in summary["skipped"])
    return "; ".join(f"{reason} ({images})" for reason, images in counts.most_common(3))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def image_element(png: bytes, description: str) -> str:
    """Return the picture `png` as an element that carries its own bytes."""
    data = base64.b64encode(png).decode("ascii")
    return f"<figure><img alt='{escape(description)}' src='data:image/png;base64,{data}'></figure>"


def _data_table(catalogs: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    rows = [
        ("", [escape(role), escape(name), str(one["samples"]), str(one.get("quarantined", ""))])
        for role, catalog in catalogs.items()
        for name, one in catalog.items()
    ]
    return html_table(["role", "source", "samples", "in quarantine"], rows, texts=2)


def _quarantine(reasons: Sequence[tuple[str, str, int]]) -> str:
    if not reasons:
        return "<p>No input was refused.</p>"
    rows = [("", [escape(source), escape(reason), str(inputs)]) for source, reason, inputs in reasons]
    return "<h3>Refused inputs</h3>" + html_table(["source", "reason", "inputs"], rows, texts=2)


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs = []
    for key, value in parameters.items():
        pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return pairs


def _parameters(parameters: Mapping[str, Any]) -> str:
    rows = [("", [escape(key), escape(str(value))]) for key, value in _flat(parameters)]
    return html_table(["parameter", "value"], rows, texts=2)
