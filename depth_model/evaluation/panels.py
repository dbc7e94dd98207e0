"""An evaluated image as small pictures of one size: the image, its truth, and the depth and error of every model.

A page can lay any two of them over each other. The same input gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from depth_model import files
from depth_model.evaluation.figures import DEPTH_COLORS, ERROR_COLORS, LARGEST_ERROR, NO_LABEL, Example, depth_scale

PANELS = "panels.json"
LONGEST_SIDE, QUALITY = 448, 75


def write_panels(folder: Path, shown: Mapping[int, Example], images: int) -> None:
    """Leave the pictures of the examples `shown`, by rank (0: best) among `images`, below `folder`/panels, and in
    `folder`/panels.json what they are: rank, key, unit, range of depth, score by model, and file by title."""
    described = []
    for rank, example in shown.items():
        names = {}
        for number, (title, picture) in enumerate(panels(example).items()):
            names[title] = f"panels/{rank:06d}-{number}.webp"
            files.write_bytes(folder / names[title], picture)
        scale = depth_scale(example.depth)
        facts = {"rank": rank, "images": images, "key": example.key, "unit": example.unit}
        facts |= {"nearest": float(scale.vmin), "farthest": float(scale.vmax)}
        described.append(facts | {"scores": dict(example.scores), "pictures": names})
    files.write_json(folder / PANELS, described)


def read_panels(folder: Path) -> list[dict[str, Any]]:
    """Return what `write_panels` left in `folder`, with the bytes of each picture in place of its name."""
    described = files.read_json(folder / PANELS)
    for one in described:
        one["pictures"] = {title: (folder / name).read_bytes() for title, name in one["pictures"].items()}
    return described


def panels(example: Example) -> dict[str, bytes]:
    """Return title -> WebP of at most LONGEST_SIDE pixels, in the colors of `examples_figure`, without axes or text."""
    scale = depth_scale(example.depth)
    found = {"image": example.image, "truth": _colored(scale(example.depth), DEPTH_COLORS)}
    found |= {name: _colored(scale(depth), DEPTH_COLORS) for name, depth in example.aligned.items()}
    for name, depth in example.aligned.items():
        error = np.abs(depth - example.depth) / example.depth / LARGEST_ERROR
        found[f"error of {name}"] = _colored(error, ERROR_COLORS)
    height, width = example.depth.shape
    ratio = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return {title: _encoded(picture, size) for title, picture in found.items()}


def _colored(values: np.ndarray, colors: str) -> np.ndarray:
    """Return uint8 (h, w, 3) of values in [0, 1]; gray where there is none."""
    from matplotlib import colormaps

    shown = np.ma.masked_invalid(np.ma.filled(values, np.nan))
    return colormaps[colors].with_extremes(bad=NO_LABEL)(shown, bytes=True)[..., :3]


def _encoded(picture: np.ndarray, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).resize(size, Image.Resampling.BOX).save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
