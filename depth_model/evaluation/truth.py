"""What one image is measured against, gathered once: most of a LiDAR image does not count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from depth_model.errors import BadInput
from depth_model.evaluation.protocols import Protocol, check_kind, clip_range, depth_range
from depth_model.metrics.crops import window
from depth_model.metrics.depth import FEWEST_PIXELS

if TYPE_CHECKING:
    from depth_model.shards.sample import Intrinsics

FAR_QUANTILE = 0.01


@dataclass(frozen=True)
class Truth:
    """The truth of one image of `shape` (H, W).

    `places` (n,) are the flat indices of the pixels that count, `depth` (n,) float64 > 0 what is true there.
    Predictions are clipped to `minimum` and `maximum`. `intrinsics` are those of the camera, None when unknown.
    """

    shape: tuple[int, ...]
    places: np.ndarray
    depth: np.ndarray
    minimum: float
    maximum: float
    intrinsics: Intrinsics | None = None

    def map(self) -> np.ndarray:
        """Return the depth that counts as float64 (H, W), NaN elsewhere."""
        values = np.full(self.shape, np.nan)
        np.put(values, self.places, self.depth)
        return values


def truth_of(target: np.ndarray, kind: str, protocol: Protocol, intrinsics: Intrinsics | None = None) -> Truth:
    """Return what counts of `target` (H, W) of `kind`; NaN and values that are not above 0 are no truth.

    Raises BadInput with fewer than 10 pixels that count, or as `check_kind` does.
    """
    check_kind(kind)
    places = _labeled(target, protocol.crop)
    depth = target.ravel().take(places).astype(np.float64)
    depth = 1 / depth if kind == "disparity" else depth
    low, high = depth_range(depth, kind, protocol)
    counts = (depth > low) & ((depth <= high) if protocol.closed else (depth < high))
    if protocol.farthest_ratio is not None and depth.size:
        counts &= depth <= np.quantile(depth, FAR_QUANTILE) * protocol.farthest_ratio
    number = np.count_nonzero(counts)
    if number < FEWEST_PIXELS:
        raise BadInput(f"{number} pixels of truth between {low:g} and {high:g}, {FEWEST_PIXELS} are needed")
    depth = depth[counts]
    limits = (0.0, float(depth.max())) if protocol.clip_to_truth else clip_range(low, high, kind, protocol)
    return Truth(target.shape, places[counts], depth, *limits, intrinsics)


def _labeled(target: np.ndarray, crop: str) -> np.ndarray:
    if crop == "none":
        return np.flatnonzero(np.isfinite(target) & (target > 0))
    inside = window(crop, *target.shape)
    labeled = np.zeros(target.shape, bool)
    labeled[inside] = np.isfinite(target[inside]) & (target[inside] > 0)
    return np.flatnonzero(labeled)
