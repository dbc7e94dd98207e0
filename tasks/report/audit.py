"""The part of the report on the audit: how many images are left out of training and why, with pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_REASONS = {
    "leak": "shows the picture of an evaluation image",
    "near_duplicate": "repeats another training image",
    "exact_duplicate": "is the same file as another training image",
}


def audit_section(summary: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Return the HTML of `summary` (reports/audit/summary.json) with `pictures`, JPEG bytes by name, of its pairs."""
    found = summary["sources"]
    excluded = {reason: sum(one[reason] for one in found.values()) for reason in _REASONS}
    parts = [f"<p>{_finetuning(summary['finetuning'])}</p>"] if summary["finetuning"] else []
    parts += [f"<p>{_sentence(excluded, sum(one['images'] for one in found.values()))}</p>"]
    if any(excluded.values()):
        parts.append(_sources(found))
    counted = excluded | {"finetuning_leak": sum(one["leak"] for one in summary["finetuning"].values())}
    for reason, number in counted.items():
        shown = [pair for pair in summary["pairs"] if pair["reason"] == reason]
        parts += [_pairs(reason, shown, number, pictures)] if shown else []
    return "".join(parts)


def _sentence(excluded: Mapping[str, int], images: int) -> str:
    if not any(excluded.values()):
        return f"None of the {images} training images repeats an evaluation image or another training image."
    counted = ", ".join(f"{number} because it {_REASONS[reason]}" for reason, number in excluded.items() if number)
    return f"Of {images} training images, {sum(excluded.values())} are left out of training: {counted}."


def _finetuning(found: Mapping[str, Mapping[str, int]]) -> str:
    leaks = [f"{one['leak']} of {one['images']} of {escape(name)}" for name, one in found.items() if one["leak"]]
    if not leaks:
        images = sum(one["images"] for one in found.values())
        return f"None of the {images} images for fine-tuning shows an image that the fine-tuned models are measured on."
    return (
        "Images for fine-tuning show images that the fine-tuned models are measured on, and are not left out, as the "
        f"splits are official: {', '.join(leaks)}."
    )


def _sources(found: Mapping[str, Mapping[str, int]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("images", "leaks", "near duplicates", "exact duplicates"))
    rows = "".join(
        f"<tr><td class='text'>{escape(name)}</td>"
        + "".join(f"<td>{one[column]}</td>" for column in ("images", *_REASONS))
        + "</tr>"
        for name, one in found.items()
        if any(one[reason] for reason in _REASONS)
    )
    head = f"<thead><tr><th class='text'>source</th>{head}</tr></thead>"
    return f"<div class='wide'><table>{head}<tbody>{rows}</tbody></table></div>"


def _pairs(reason: str, shown: Iterable[Mapping[str, Any]], total: int, pictures: Mapping[str, bytes]) -> str:
    figures = "".join(_pair(pair, pictures[pair["picture"]]) for pair in shown)
    return f"<h3>{total} {escape(reason.replace('_', ' '))}, the first of them</h3><div class='pairs'>{figures}</div>"


def _pair(pair: Mapping[str, Any], picture: bytes) -> str:
    data = base64.b64encode(picture).decode("ascii")
    text = f"{pair['image']} repeats {pair['repeats']} ({pair['distance']} bits, correlation {pair['correlation']:.2f})"
    image = f"<img alt='{escape(text)}' src='data:image/jpeg;base64,{data}'>"
    return f"<figure>{image}<figcaption>{escape(text)}</figcaption></figure>"
