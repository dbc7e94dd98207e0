"""Metric Depth Anything: our folders, transformers folders, released `.pt` files with metric bins."""

from __future__ import annotations

from depth_model.comparison.adapters import Family, Origin, Settings
from depth_model.evaluation.estimator import Estimator
from depth_model.metric.heads.checkpoints import MODEL_TYPE
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.metric.prediction.estimator import of_metric


def _recognises(origin: Origin) -> bool:
    if origin.kind == "file":
        return origin.name.endswith(".pt")
    return origin.local and (origin.kind == MODEL_TYPE or (origin.kind == "depth_anything" and origin.is_metric))


def _load(origin: Origin, settings: Settings) -> Estimator:
    return of_metric(MetricDepth.load(origin.name, settings.maximum), settings.network_size)


FAMILY = Family(_recognises, _load, "metric Depth Anything (folder or .pt)")
