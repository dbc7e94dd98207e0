"""Disparity of a very large image from tiles: fine detail of each, large shapes of the whole, no seams between them.

Every tile has a scale and shift of its own, so each is brought to the prediction of the whole image by least squares
before tiles are blended. Not a part of the paper, whose images are small.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from depth_model.metrics.alignment import align_disparity

OVERLAP = 0.5
"""Least share of a tile that its neighbor shows too."""


def tiled(predict: Callable[[list[np.ndarray]], list[np.ndarray]], image: np.ndarray, side: int) -> np.ndarray:
    """Return float32 disparity (H, W) >= 0 of `image` (H, W, 3) from its tiles of `side` pixels, half overlapping.

    `predict` returns float32 disparity (h, w) for each uint8 image (h, w, 3). An image that is no larger than a tile is
    predicted as it is.
    """
    whole = predict([image])[0]
    height, width = whole.shape
    if max(height, width) <= side:
        return whole
    total, weights = np.zeros(whole.shape), np.zeros(whole.shape)
    for top in starts(height, side):
        # A row of tiles at a time: all of them at once could fill the memory.
        rows = [(slice(top, top + side), slice(left, left + side)) for left in starts(width, side)]
        for place, disparity in zip(rows, predict([image[place] for place in rows]), strict=True):
            weight = _weight(*disparity.shape)
            total[place] += weight * _aligned(disparity, whole[place])
            weights[place] += weight
    return np.maximum(total / weights, 0).astype(np.float32)


def starts(length: int, side: int) -> list[int]:
    """Return where tiles of `side` begin along `length` pixels: evenly, overlapping by half at least, up to the end."""
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side * (1 - OVERLAP))) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def _aligned(disparity: np.ndarray, whole: np.ndarray) -> np.ndarray:
    scale, shift = align_disparity(disparity, whole)
    # Near and far the other way round: the tile shows too little to tell, the whole image knows better.
    return whole if scale < 0 else scale * disparity + shift


def _weight(height: int, width: int) -> np.ndarray:
    """Return weights (height, width) > 0 that fall from the center of a tile to its border."""
    return np.outer(_ramp(height), _ramp(width))


def _ramp(length: int) -> np.ndarray:
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2
