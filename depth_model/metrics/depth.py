"""Metrics of depth: what is measured, and in which direction it is better (docs/paper.md 4.1, 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAREST, FARTHEST = 1e-3, 80.0
"""Meters between which truth counts where no protocol of a set says otherwise: KITTI's, DDAD's and DIODE's outdoors."""
FEWEST_PIXELS = 10
"""Of truth that counts, from which an image is measured."""


@dataclass(frozen=True)
class Metric:
    """A metric by its key in files and its name in tables; `higher_is_better` tells its direction."""

    key: str
    title: str
    higher_is_better: bool

    @property
    def heading(self) -> str:
        """Its name with an arrow to where it is better."""
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"

    def better(self, value: float, other: float) -> bool:
        """Whether `value` is better than `other`."""
        return value > other if self.higher_is_better else value < other


METRICS = (
    Metric("abs_rel", "AbsRel", False),
    Metric("delta1", "δ1", True),
    Metric("delta2", "δ2", True),
    Metric("delta3", "δ3", True),
    Metric("rmse", "RMSE", False),
    Metric("log10", "log10", False),
    Metric("silog", "SILog", False),
)
METRIC_DEPTH_METRICS = (*METRICS, Metric("sq_rel", "SqRel", False), Metric("rmse_log", "RMSE log", False))
"""The nine of ZoeDepth's evaluation."""

BOUNDARY_F1 = Metric("boundary_f1", "boundary F1", True)
NORMAL_ANGLES = (11.25, 22.5, 30.0)
"""Degrees within which the share of surface normals is told."""
NORMAL_METRICS = (
    Metric("normal_mean", "normals, mean °", False),
    Metric("normal_median", "normals, median °", False),
    *(Metric(f"normal_{angle:g}".replace(".", "_"), f"normals < {angle:g}°", True) for angle in NORMAL_ANGLES),
)
ALL_METRICS = {metric.key: metric for metric in (*METRIC_DEPTH_METRICS, BOUNDARY_F1, *NORMAL_METRICS)}


def depth_metrics(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return every metric of METRICS for depth `prediction` and `target`, both > 0, of the valid pixels only.

    AbsRel = mean |p - t| / t; delta_k = fraction with max(p/t, t/p) < 1.25^k; RMSE in the unit of the depth;
    log10 = mean |log10 p - log10 t|; SILog = 100 sqrt(mean e^2 - (mean e)^2) with e = ln p - ln t. In float64.
    """
    predicted, true = prediction.astype(np.float64), target.astype(np.float64)
    ratio = predicted / true
    error, factor = np.log(ratio), np.maximum(ratio, 1 / ratio)
    return {
        "abs_rel": float(np.mean(np.abs(ratio - 1))),
        **{f"delta{power}": float(np.mean(factor < 1.25**power)) for power in (1, 2, 3)},
        "rmse": float(np.sqrt(np.mean(np.square(predicted - true)))),
        "log10": float(np.mean(np.abs(error)) / np.log(10)),
        "silog": float(100 * np.std(error)),
    }


def zoedepth_metrics(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return every metric of METRIC_DEPTH_METRICS: those of `depth_metrics`, sq_rel = mean (p - t)^2 / t in meters, and
    rmse_log = sqrt(mean e^2) with e = ln p - ln t."""
    predicted, true = prediction.astype(np.float64), target.astype(np.float64)
    return depth_metrics(predicted, true) | {
        "sq_rel": float(np.mean(np.square(predicted - true) / true)),
        "rmse_log": float(np.sqrt(np.mean(np.square(np.log(predicted / true))))),
    }
