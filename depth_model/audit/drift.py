"""How far a collection has moved from one that was accepted: a distance per property of each source.

`psi`, the population stability index, is the sum over bins of (p - q) ln(p / q), p and q the shares of both
histograms; below 0.1 is usually called stable, above 0.25 a shift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

SMALLEST_SHARE = 1e-4
"""A share below this counts as this, so that an empty bin has a finite distance."""

Statistics = Mapping[str, Mapping[str, Any]]


class Drift(NamedTuple):
    """Source `source` differs in `what` (a property, or `added` / `removed`) by `distance`, 0 for no difference."""

    source: str
    what: str
    distance: float


def psi(before: Sequence[float], now: Sequence[float]) -> float:
    """Return the population stability index of two histograms of the same bins; 1 when just one of them is empty."""
    before, now = np.asarray(before, np.float64), np.asarray(now, np.float64)
    if not before.sum() or not now.sum():
        return float(bool(before.sum()) != bool(now.sum()))
    before, now = (np.maximum(one / one.sum(), SMALLEST_SHARE) for one in (before, now))
    return float(((now - before) * np.log(now / before)).sum())


def compare(before: Statistics, now: Statistics) -> list[Drift]:
    """Return the distances of all properties of the sources `now`, in their order, then what was removed.

    Both map a source to its statistics (`target_statistics.total`). `samples` is the change relative to before;
    `refused` the index of kept and refused inputs; a range of labels has 1 minus the share of both intervals in
    what they cover together; histograms have their index.
    """
    found = []
    for name, statistics in now.items():
        if name not in before:
            found.append(Drift(name, "added", 1.0))
        else:
            distances = _distances(before[name], statistics)
            found += [Drift(name, what, distance) for what, distance in distances.items()]
    return found + [Drift(name, "removed", 1.0) for name in before if name not in now]


def _distances(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, float]:
    distances = {
        "samples": abs(now["samples"] - before["samples"]) / max(before["samples"], 1),
        "refused": psi(*([one["samples"], sum(one["refused"].values())] for one in (before, now))),
    }
    for kind in sorted(before["ranges"].keys() | now["ranges"].keys()):
        distances[f"range of {kind}"] = _apart(before["ranges"].get(kind), now["ranges"].get(kind))
    for name in sorted(before["histograms"].keys() | now["histograms"].keys()):
        empty: list[int] = []
        distances[name] = psi(before["histograms"].get(name, empty), now["histograms"].get(name, empty))
    return distances


def _apart(before: Sequence[float] | None, now: Sequence[float] | None) -> float:
    if before is None or now is None:
        return 1.0
    covered = max(before[1], now[1]) - min(before[0], now[0])
    shared = max(0.0, min(before[1], now[1]) - max(before[0], now[0]))
    return 1 - shared / covered
