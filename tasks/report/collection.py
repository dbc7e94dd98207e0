"""The part of the report on the collection: sizes, labels, depth and disparity by source, and what has drifted."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from depth_model.shards.target_statistics import DEPTH_EDGES, degenerate, median_bin
from tasks.gate.statistics import ACCEPTED, beyond
from tasks.report.pages import html_table, image_element

_HEAD = ["role", "source", "samples", "refused", "degenerate labels", "labels from", "to", "median depth"]


def collection_section(found: Mapping[str, Mapping[str, Any]], figures: Mapping[str, bytes], tolerance: float) -> str:
    """Return the HTML of `found`, the content of `data/statistics/<role>.json` by role, with a PNG per role."""
    rows = [
        ("set" if first else "", _row(role if first else "", name, statistics))
        for role, one in found.items()
        for first, (name, statistics) in zip([True] + [False] * len(one["sources"]), one["sources"].items())
    ]
    parts = [f"<p>{escape(_drift(found, tolerance))}</p>", html_table(_HEAD, rows, texts=2)]
    parts += [f"<h3>{escape(role)}</h3>{image_element(png, f'sources of {role}')}" for role, png in figures.items()]
    return "".join(parts)


def _row(role: str, name: str, statistics: Mapping[str, Any]) -> list[str]:
    ranges = statistics["ranges"]
    units = {kind: " m" if kind == "metric_depth" else "" for kind in ranges}
    low = ", ".join(f"{low:.3g}{units[kind]}" for kind, (low, _) in ranges.items())
    high = ", ".join(f"{high:.3g}{units[kind]}" for kind, (_, high) in ranges.items())
    refused = sum(statistics["refused"].values())
    depth = statistics["histograms"].get("depth")
    counted = [str(number) for number in (statistics["samples"], refused, degenerate(statistics))]
    return [escape(role), escape(name), *counted, low, high, _median_depth(depth) if depth else ""]


def _median_depth(counts: list[int]) -> str:
    place = median_bin(counts)
    if place in (0, len(DEPTH_EDGES)):
        return f"below {DEPTH_EDGES[0]:g} m" if place == 0 else f"above {DEPTH_EDGES[-1]:g} m"
    return f"{DEPTH_EDGES[place - 1]:.2g} to {DEPTH_EDGES[place]:.2g} m"


def _drift(found: Mapping[str, Mapping[str, Any]], tolerance: float) -> str:
    """Return a sentence on what moved beyond `tolerance` since the collection that was accepted."""
    compared = [role for role, one in found.items() if one["compared"]]
    if not compared:
        return f"Drift: nothing to compare with; no collection was accepted yet ({ACCEPTED})."
    moved = [f"{role}: {line}" for role in compared for line in beyond(found[role], tolerance)]
    says = f"Drift against {ACCEPTED}, tolerance {tolerance:g}: "
    return says + ("; ".join(moved) if moved else "nothing moved beyond it") + "."
