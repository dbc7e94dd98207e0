"""Scale and shift of a prediction: least squares in disparity space, per image (docs/paper.md 4.1, after MiDaS)."""

from __future__ import annotations

import numpy as np


def align_disparity(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> tuple[float, float]:
    """Return (scale, shift) that minimize sum (scale * prediction + shift - target)^2 over the pixels of `mask`.

    `prediction` and `target` are disparity of one shape, `mask` bool of that shape (None: all). Solved in float64
    by the centered closed form. A constant prediction gets scale 0 and the mean of the target as shift, the best
    that a constant can do. Raises ValueError when the mask holds no pixel.
    """
    values, truth = (_gathered(one, mask) for one in (prediction, target))
    if not values.size:
        raise ValueError("no pixel to align on")
    center, level = values.mean(), truth.mean()
    deviation = values - center
    scale = 0.0 if is_constant(values) else float(deviation @ (truth - level) / (deviation @ deviation))
    return scale, float(level - scale * center)


def depth_of_disparity(disparity: np.ndarray, scale: float, shift: float, minimum: float, maximum: float) -> np.ndarray:
    """Return depth float64 in [minimum, maximum] of `disparity` once aligned by `scale` and `shift`.

    A `minimum` of 0 does not clip.
    """
    aligned = disparity.astype(np.float64, copy=False) * scale + shift
    return 1 / np.clip(aligned, 1 / maximum, 1 / minimum if minimum else np.inf)


def is_constant(values: np.ndarray) -> bool:
    """Whether all `values` are one number, up to the rounding of float32 in resizing a map."""
    return bool(np.ptp(values) <= 1e-6 * np.abs(values).max())


def _gathered(values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    return (values.ravel() if mask is None else values[mask]).astype(np.float64)
