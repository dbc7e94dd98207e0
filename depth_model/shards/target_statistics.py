"""What the images and labels of a source are like, as whole numbers that add up: histograms of size, of the valid
fraction, of depth and of disparity, the range of the labels, and the classes of what was refused.

Every shard counts its own samples; the sum does not depend on the order or number of processes. Of each target at
most 256 x 256 pixels are counted, on a regular grid, so that no image outweighs others by its resolution.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from depth_model.shards.disparity import DEPTH_KINDS, labeled_pixels

STATISTICS = "statistics.json"
GRID = 256
"""At most so many rows and columns of a target are counted."""

FIRST_OCTAVE, LAST_OCTAVE = 8, 28
PARTS = 20
DEPTH_EDGES = np.array([10 ** (place / 8) for place in range(-16, 25)])
"""Meters: eight bins a decade from 0.01 to 1000 m; one more below and one above."""

HISTOGRAMS = {
    "size": LAST_OCTAVE - FIRST_OCTAVE + 1,
    "valid_fraction": PARTS,
    "depth": len(DEPTH_EDGES) + 1,
    "disparity": PARTS,
}
"""Number of bins: of pixels by powers of two from 2^8 to 2^28, of shares by twentieths, of meters by DEPTH_EDGES."""

FARTHEST_MEDIAN, FARTHEST, NEAREST = 150.0, 5000.0, 0.05
"""Meters beyond which labels are doubted: of the median and of the largest; below the last, of the largest."""

DEGENERATE = ("no pixel has a label", "all N labeled pixels have the value")
"""How the classes of reasons against degenerate labels start."""

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def of_sample(row: Mapping[str, Any], target: np.ndarray | None = None) -> dict[str, Any]:
    """Return the statistics of one sample.

    `row` is its row of the manifest (height and width in pixels; with a `target`, float32 (H, W), also target_kind,
    minimum, maximum and valid_fraction). Depth is counted for `metric_depth` only, in meters; disparity for every
    kind, scaled to [0, 1] over the labeled pixels of its image (paper 3.1).
    """
    octave = (row["height"] * row["width"]).bit_length() - 1
    found = {"size": _counted(min(max(octave, FIRST_OCTAVE), LAST_OCTAVE) - FIRST_OCTAVE, "size")}
    if target is None:
        return {"samples": 1, "histograms": found, "ranges": {}}
    kind, low, high = row["target_kind"], row["minimum"], row["maximum"]
    found["valid_fraction"] = _counted(_part(row["valid_fraction"]), "valid_fraction")
    seen = target[:: math.ceil(target.shape[0] / GRID), :: math.ceil(target.shape[1] / GRID)]
    values = seen[labeled_pixels(seen, kind)].astype(np.float64)
    if kind == "metric_depth":
        found["depth"] = _counted(np.searchsorted(DEPTH_EDGES, values, side="right"), "depth")
    found["disparity"] = _counted(_part(_scaled_disparity(values, kind, low, high)), "disparity")
    return {"samples": 1, "histograms": found, "ranges": {kind: [low, high]}}


def _scaled_disparity(values: np.ndarray, kind: str, low: float, high: float) -> np.ndarray:
    if kind not in DEPTH_KINDS:
        return (values - low) / (high - low)
    return (1 / values - 1 / high) / (1 / low - 1 / high)


def _part(share: np.ndarray | float) -> np.ndarray:
    return np.clip(np.asarray(share) * PARTS, 0, PARTS - 1).astype(np.int64)


def _counted(bins: np.ndarray | int, name: str) -> np.ndarray:
    return np.bincount(np.atleast_1d(bins), minlength=HISTOGRAMS[name])


def reason_class(reason: str) -> str:
    """Return `reason` without what differs from input to input: numbers become N, quoted text becomes '...'."""
    return _NUMBER.sub("N", _QUOTED.sub("'...'", reason))


def refused(reasons: Iterable[str]) -> dict[str, Any]:
    """Return the statistics of inputs that were refused for `reasons`."""
    return {"refused": dict(Counter(map(reason_class, reasons)))}


def total(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sum of statistics, as JSON values with sorted keys: samples, histograms, ranges, refused."""
    samples, histograms, ranges, reasons = 0, {}, {}, Counter()
    for part in parts:
        samples += part.get("samples", 0)
        for name, counts in part.get("histograms", {}).items():
            histograms[name] = histograms.get(name, 0) + np.asarray(counts, np.int64)
        for kind, (low, high) in part.get("ranges", {}).items():
            before = ranges.get(kind, (low, high))
            ranges[kind] = [min(low, before[0]), max(high, before[1])]
        reasons.update(part.get("refused", {}))
    return {
        "samples": samples,
        "histograms": {name: histograms[name].tolist() for name in HISTOGRAMS if name in histograms},
        "ranges": dict(sorted(ranges.items())),
        "refused": dict(sorted(reasons.items())),
    }


def implausible(low: float, high: float, median: float) -> str:
    """Return what is strange about labels from `low` to `high` that are said to be meters, "" when nothing is."""
    found = f"labels from {low:.4g} to {high:.4g} m, half of them beyond {median:.4g} m"
    if median > FARTHEST_MEDIAN:
        return f"{found}: they look like millimeters (unit: 1000?)"
    if high > FARTHEST:
        return f"{found}: the largest look like a value for no data (invalid: [0, {high:g}]?)"
    return f"{found}: too small for a scene (unit too large?)" if high < NEAREST else ""


def degenerate(statistics: Mapping[str, Any]) -> int:
    """Return how many inputs were refused because there was nothing to learn from their labels."""
    return sum(number for reason, number in statistics["refused"].items() if reason.startswith(DEGENERATE))


def median_bin(counts: Iterable[int]) -> int:
    """Return the bin in which the median of a histogram lies; raises ValueError for an empty one."""
    cumulated = np.cumsum(np.asarray(list(counts)))
    if not cumulated.size or not cumulated[-1]:
        raise ValueError("an empty histogram has no median")
    return int(np.searchsorted(cumulated, cumulated[-1] / 2))
