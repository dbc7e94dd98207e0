"""Pictures beside the depth of any models on one color scale, as Figures 1 and 3 of the paper show them.

No truth is needed: the disparity of every model is aligned to that of the first by scale and shift, as it would be to
the truth, and the colors span what the first says of the picture. What predicts depth is inverted first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from depth_model.errors import BadInput
from depth_model.evaluation.estimator import predicted
from depth_model.evaluation.figures import png_bytes
from depth_model.evaluation.protocols import GENERIC
from depth_model.media.pictures import colored
from depth_model.metrics.alignment import align_disparity
from depth_model.prediction.estimator import Estimator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IN_A_ROW = 4
"""Pictures side by side when there is one model."""
WIDTH, TITLE = 2.4, 0.22
"""Of a picture and above it, in inches."""
LONGEST_TITLE, WIDEST = 40, 480
"""Letters of a title, and pixels of a picture in the figure."""
LEAST_DEPTH = 1e-3
"""Share of the largest depth of a picture that stands in for less when depth is inverted."""
QUANTILES = (0.01, 0.99)
"""Of the first model's disparity, between which the colors lie."""


@dataclass(frozen=True)
class Shown:
    """A picture uint8 (h, w, 3), at most WIDEST pixels wide, and what each model says of it: title -> (h, w) in [0, 1],
    larger is nearer."""

    name: str
    image: np.ndarray
    maps: Mapping[str, np.ndarray]


def shown(models: Mapping[str, Estimator], name: str, image: np.ndarray) -> Shown:
    """Return what a figure shows of `image`, uint8 (H, W, 3).

    Raises BadInput for a prediction that is not finite, or missing.
    """
    found = {title: _disparity(model, name, image) for title, model in models.items()}
    first = next(iter(found.values()))
    low, high = np.quantile(first, QUANTILES)
    maps = {}
    for title, disparity in found.items():
        scale, shift = align_disparity(disparity, first)
        shares = (disparity * scale + shift - low) / max(high - low, np.finfo(np.float32).tiny)
        maps[title] = _reduced(np.clip(shares, 0, 1))
    return Shown(name, _reduced(image), maps)


def _reduced(values: np.ndarray) -> np.ndarray:
    height, width = values.shape[:2]
    if width <= WIDEST:
        return values
    return cv2.resize(values, (WIDEST, max(1, round(height * WIDEST / width))), interpolation=cv2.INTER_AREA)


def _disparity(model: Estimator, name: str, image: np.ndarray) -> np.ndarray:
    values = predicted(model, image, (name,), image.shape[:2], GENERIC).astype(np.float64)
    if not np.isfinite(values).all():
        raise BadInput("the prediction is not finite")
    return values if model.space == "disparity" else 1 / np.maximum(values, LEAST_DEPTH * values.max())


def gallery(rows: Sequence[Shown], colors: str) -> bytes:
    """Return a PNG: with one model every picture above its depth (Figure 1), with several a row per picture with the
    models side by side (Figure 3). `colors` is one of matplotlib's color maps."""
    from matplotlib.figure import Figure

    cells = _one_model(rows, colors) if len(rows[0].maps) == 1 else _side_by_side(rows, colors)
    heights = [max(WIDTH * len(one) / one.shape[1] for _, one in row) + TITLE for row in cells]
    columns = max(map(len, cells))
    figure = Figure(figsize=(WIDTH * columns, sum(heights)))
    _draw(figure, cells, heights, columns)
    return png_bytes(figure)


Cells = list[list[tuple[str, np.ndarray]]]
"""Rows of titles and pictures."""


def _side_by_side(rows: Sequence[Shown], colors: str) -> Cells:
    return [
        [(one.name, one.image), *((title, colored(shares, colors)) for title, shares in one.maps.items())]
        for one in rows
    ]


def _one_model(rows: Sequence[Shown], colors: str) -> Cells:
    cells: Cells = []
    for start in range(0, len(rows), IN_A_ROW):
        some = rows[start : start + IN_A_ROW]
        cells.append([(one.name, one.image) for one in some])
        cells.append([(title, colored(shares, colors)) for one in some for title, shares in one.maps.items()])
    return cells


def _draw(figure: Figure, cells: Cells, heights: Sequence[float], columns: int) -> None:
    grid = figure.subplots(len(cells), columns, squeeze=False, height_ratios=heights)
    figure.subplots_adjust(0.004, 0.004, 0.996, 1 - TITLE / sum(heights), wspace=0.02, hspace=TITLE / np.mean(heights))
    for axes in grid.ravel():
        axes.set_axis_off()
        axes.set_anchor("N")  # what stands in one row begins at one height
    for line, row in zip(grid, cells):
        for axes, (title, picture) in zip(line, row):
            axes.imshow(picture)
            axes.set_title(title[-LONGEST_TITLE:], fontsize=8, parse_math=False, pad=2)
