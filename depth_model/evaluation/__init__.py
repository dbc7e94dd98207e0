"""Evaluation of depth and segmentation: alignment, metrics, protocols, figures."""

from __future__ import annotations

from depth_model.evaluation.image_metrics import metric_depth_metrics, relative_depth_metrics
from depth_model.metrics.alignment import align_disparity
from depth_model.metrics.depth import METRICS, Metric, depth_metrics
from depth_model.metrics.segmentation import mean_iou

__all__ = [
    "METRICS",
    "Metric",
    "align_disparity",
    "depth_metrics",
    "mean_iou",
    "metric_depth_metrics",
    "relative_depth_metrics",
]
