"""Sharpness of boundaries: the F1 of occluding contours as Depth Pro defines it (Bochkovskii et al. 2024, section 4).

Between neighboring pixels i and j lies a contour at threshold t where depth(j) / depth(i) > t. Each of the four
directions (j to the right, to the left, below, above) has a precision and a recall of predicted contours; both are
averaged over the directions (0 for one without contours), F1 = 2PR / (P + R), and F1 is averaged over ten thresholds
from 1.05 to 1.25 with weights proportional to the threshold. Needs dense truth: only pairs of pixels that both have
truth count. It does not depend on the scale of depth, but on the shift of disparity: relative models are measured after
alignment.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

THRESHOLDS = np.linspace(1.05, 1.25, 10)


def boundary_f1(prediction: np.ndarray, target: np.ndarray) -> float:
    """Return the boundary F1 in [0, 1] of depth `prediction` against `target`, both (H, W) > 0, NaN = no truth.

    NaN when the truth has no contour at any threshold: there is nothing to find. (Depth Pro's code says 0 there.)
    """
    ratios = [(_comparable(predicted, true), true) for predicted, true in zip(_ratios(prediction), _ratios(target))]
    scores = [_f1(ratios, threshold) for threshold in THRESHOLDS]
    found = [score is not None for score in scores]
    if not any(found):
        return float("nan")
    return float(np.average([score or 0.0 for score in scores], weights=THRESHOLDS))


def _ratios(depth: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the ratio of depth of each pixel's right and lower neighbor to its own, then the inverse of both."""
    across, down = depth[:, 1:] / depth[:, :-1], depth[1:] / depth[:-1]
    yield from (across, down, 1 / across, 1 / down)


def _comparable(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(true), predicted, np.nan)


def _f1(ratios: list[tuple[np.ndarray, np.ndarray]], threshold: float) -> float | None:
    """Return F1 at one threshold, None when the truth has no contour there."""
    precision, recall, true_contours = 0.0, 0.0, 0
    for predicted, true in ratios:
        found, there = predicted > threshold, true > threshold
        hits = np.count_nonzero(found & there)
        precision += hits / max(np.count_nonzero(found), 1) / 4
        recall += hits / max(np.count_nonzero(there), 1) / 4
        true_contours += np.count_nonzero(there)
    if not true_contours:
        return None
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
