"""The part of the report on scenes: what the training images show, and how many of each source show it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tasks.report.pages import html_table


def scenes_section(summary: Mapping[str, Any], pictures: Sequence[bytes]) -> str:
    """Return the HTML of `summary` (reports/collection/scenes.json) with `pictures`, a JPEG for each scene."""
    found = summary["scenes"]
    if not found:
        return "<p>There are no training images.</p>"
    total = sum(summary["images"].values())
    figures = "".join(
        _scene(number, counts, total, picture) for number, (counts, picture) in enumerate(zip(found, pictures), 1)
    )
    return f"<p>{_sentence(summary)}</p>{_table(summary)}<div class='scenes'>{figures}</div>"


def _sentence(summary: Mapping[str, Any]) -> str:
    counted = " and ".join(
        f"{value:.1f} of the {role} images" for role, value in summary["effective"].items() if value
    )
    return (
        f"Images that look alike to the encoder ({escape(summary['encoder'])}), from at most 64 images of each source. "
        f"Of {len(summary['scenes'])} scenes, the effective number (1: all alike) is {counted}. "
        "The table says which share of each source a scene has, in percent."
    )


def _table(summary: Mapping[str, Any]) -> str:
    head = ["source", "images", *map(str, range(1, len(summary["scenes"]) + 1))]
    rows = []
    for name, images in summary["images"].items():
        shares = [counts.get(name, 0) / images if images else 0 for counts in summary["scenes"]]
        cells = [f"{100 * share:.0f}" if share else "" for share in shares]
        rows.append(("", [escape(name), str(images), *cells]))
    return html_table(head, rows, texts=1)


def _scene(number: int, counts: Mapping[str, float], total: int, picture: bytes) -> str:
    data = base64.b64encode(picture).decode("ascii")
    largest = sorted(counts.items(), key=lambda one: -one[1])[:4]
    named = ", ".join(f"{escape(name)} {count:.0f}" for name, count in largest)
    more = ", ..." if len(counts) > len(largest) else ""
    text = f"Scene {number}: {100 * sum(counts.values()) / total:.1f} % of all. About {named}{more}"
    image = f"<img alt='scene {number}' src='data:image/jpeg;base64,{data}'>"
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"
