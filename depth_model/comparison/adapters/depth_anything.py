"""Depth Anything, first and second: our folders and transformers' for relative depth, and bare files of either kind."""

from __future__ import annotations

from depth_model.comparison.adapters import Family, Origin, Settings
from depth_model.comparison.adapters._own_networks import estimator, loaded
from depth_model.metric.prediction.estimator import of_metric
from depth_model.networks import DepthAnything
from depth_model.prediction.estimator import Estimator


def _recognizes(origin: Origin) -> bool:
    return origin.kind == "file" or (origin.kind == "depth_anything" and not origin.is_metric)


def _load(origin: Origin, settings: Settings) -> Estimator:
    model = loaded(origin, settings)
    if isinstance(model, DepthAnything):
        return estimator(model, settings, "disparity", model.version == "v2")
    return of_metric(model, settings.network_size, settings.short_side)


FAMILY = Family(_recognizes, _load, "Depth Anything (folder, .pth, .pt or .safetensors)")
