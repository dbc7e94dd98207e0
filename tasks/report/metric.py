"""The part of the report on metric depth: every model in metres, on every set."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from depth_model.metrics.depth import METRIC_DEPTH_METRICS
from tasks.report.pages import html_table, image_element

SHOWN = tuple(one for one in METRIC_DEPTH_METRICS if one.key in ("abs_rel", "delta1", "rmse", "log10", "silog"))


def metric_section(sets: Mapping[str, Mapping[str, Any]], examples: Mapping[str, bytes]) -> str:
    """Return the HTML of the section: a table of `sets` (summary by name) and the PNG `examples` of each set.

    Predictions are taken as they are, without any alignment.
    """
    if not sets:
        return "<p>No metric model was fine-tuned.</p>"
    head = ["set", "model", *(f"{one.title}&nbsp;{'↑' if one.higher_is_better else '↓'}" for one in SHOWN), "images"]
    rows = []
    for name, summary in sets.items():
        for place, (model, values) in enumerate(summary["models"].items()):
            cells = [f"{values[one.key]:.4f}" for one in SHOWN]
            first = place == 0
            row = [escape(name) if first else "", escape(model), *cells, str(summary["images"]) if first else ""]
            rows.append(("set" if first else "", row))
    introduction = (
        "<p>Depth in metres, as predicted, without alignment; RMSE in metres. “Constant” is the median depth of the "
        "images that the model of the set was fine-tuned on. A model of one kind of scene is not made for the other: "
        "its figures there show how far it carries.</p>"
    )
    pictures = "".join(
        f"<h3>{escape(name)}</h3>{image_element(png, f'metric depth of {name}')}" for name, png in examples.items()
    )
    return introduction + html_table(head, rows, texts=2) + pictures
