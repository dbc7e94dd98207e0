"""Metric Depth Anything: our folders, transformers folders, released `.pt` files with metric bins."""

from __future__ import annotations

from depth_model.evaluation.adapters import Family, Origin, Settings
from depth_model.evaluation.adapters._own_networks import estimator
from depth_model.evaluation.estimator import Estimator
from depth_model.networks.metric_checkpoints import MODEL_TYPE
from depth_model.networks.metric_depth import MetricDepth


def _recognises(origin: Origin) -> bool:
    if origin.kind == "file":
        return origin.name.endswith(".pt")
    return origin.local and (origin.kind == MODEL_TYPE or (origin.kind == "depth_anything" and origin.is_metric))


def _load(origin: Origin, settings: Settings) -> Estimator:
    return estimator(MetricDepth.load(origin.name, settings.maximum), settings, "metric_depth")


FAMILY = Family(_recognises, _load, "metric Depth Anything (folder or .pt)")
