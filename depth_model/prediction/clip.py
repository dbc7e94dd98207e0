"""Depth of the frames of a clip, one after another, at one scale: nothing but the last frame is kept.

A relative model gives every frame a scale and shift of its own, which shows as flicker. Here each frame is brought to
the one before it by least squares, without the pixels that moved, and drawn back a little to what the model said, so
that errors do not add up. No optical flow, no network of its own for video.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from depth_model.metrics.alignment import align_disparity

FOLLOWED = 0.9
"""Share of the last frame's scale and shift in those of the next; the rest is the model's own, 1 and 0."""
STEP = 4
"""Every fourth row and column stands for its neighbors in the fit."""
KEPT = 3.0
"""Residuals above so many times their median are movement, and do not count in the second fit."""
CUT = 0.5
"""Median residual, as a share of the median deviation of the last frame, from which on a frame is of another scene."""
SAMPLED = 16
"""Frames that the range of a clip is taken from."""


class Steadied(NamedTuple):
    """A map at the scale of the clip, and its mean absolute difference to the one before it as the model gave them
    (`raw`) and afterwards (`steady`); NaN for the first frame of a scene."""

    values: np.ndarray
    raw: float
    steady: float


def steadied(maps: Iterable[np.ndarray], aligned: bool) -> Iterator[Steadied]:
    """Yield float32 `maps` (H, W) of one size at one scale; as they are unless `aligned`, for a model of meters."""
    before: tuple[np.ndarray, np.ndarray] | None = None
    for one in maps:
        result = Steadied(one, np.nan, np.nan)
        if before is not None:
            scale, shift, same_scene = _to(one, before[1])
            if same_scene:
                found = (one * scale + shift).astype(np.float32) if aligned else one
                result = Steadied(found, _difference(one, before[0]), _difference(found, before[1]))
        before = one, result.values
        yield result


def _to(values: np.ndarray, last: np.ndarray) -> tuple[float, float, bool]:
    """Return scale and shift of `values` to the `last` map, drawn back to 1 and 0; whether both are of one scene."""
    some, target = (one[::STEP, ::STEP].astype(np.float64).ravel() for one in (values, last))
    scale, shift = align_disparity(some, target)
    residual = np.abs(scale * some + shift - target)
    middle = float(np.median(residual))
    scale, shift = align_disparity(some, target, residual <= KEPT * middle)
    same_scene = scale > 0 and middle <= CUT * float(np.median(np.abs(target - np.median(target))))
    return FOLLOWED * scale + 1 - FOLLOWED, FOLLOWED * shift, same_scene


def _difference(values: np.ndarray, last: np.ndarray) -> float:
    return float(np.abs(values - last).mean())


def clip_range(maps: Iterable[np.ndarray]) -> tuple[float, float]:
    """Return what of some maps of a clip stands for black and white: their least and largest, but for a hundredth."""
    lows, highs = zip(*(np.quantile(one, (0.01, 0.99)) for one in maps))
    return float(min(lows)), float(max(highs))


def shares(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Return `values` in [0, 1] of the range `limits`."""
    low, high = limits
    return np.clip((values - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
