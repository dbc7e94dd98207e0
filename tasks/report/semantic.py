"""The part of the report on segmentation: every model on every set with its classes."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from tasks.report.pages import html_table, image_element

METRICS = {
    "miou": "mIoU&nbsp;↑",
    "miou_multi_scale": "mIoU, multi-scale&nbsp;↑",
    "pixel_accuracy": "pixel accuracy&nbsp;↑",
}


def semantic_section(sets: Mapping[str, Mapping[str, Any]], pictures: Mapping[str, bytes]) -> str:
    """Return the HTML of the section: a table of `sets` (summary by name) and PNG `pictures` by title."""
    if not sets:
        return "<p>No segmentation model was fine-tuned.</p>"
    rows = []
    for name, summary in sets.items():
        for place, (model, values) in enumerate(summary["models"].items()):
            found = [f"{values[metric]:.1f}" if metric in values else "" for metric in METRICS]
            cells = [*found, str(summary["classes"][model])]
            first = place == 0
            row = [escape(name) if first else "", escape(model), *cells, str(summary["images"]) if first else ""]
            rows.append(("set" if first else "", row))
    head = ["set", "model", *METRICS.values(), "classes", "images"]
    introduction = (
        "<p>In percent. mIoU is the mean over the classes that are labelled or predicted anywhere in the set; pixels "
        "without a label count nowhere.</p>"
    )
    shown = "".join(
        f"<h3>{escape(title)}</h3>{image_element(png, title)}" for title, png in pictures.items()
    )
    return introduction + html_table(head, rows, texts=2) + shown
