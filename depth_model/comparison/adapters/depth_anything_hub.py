"""Depth Anything, first and second, relative and metric, by hub id: run by transformers with its own processor."""

from __future__ import annotations

from depth_model.comparison.adapters import Family, Origin, Settings
from depth_model.comparison.adapters._transformers import estimator
from depth_model.prediction.estimator import Estimator


def _recognizes(origin: Origin) -> bool:
    return not origin.local and origin.kind == "depth_anything"


def _load(origin: Origin, settings: Settings) -> Estimator:
    return estimator(origin, "metric_depth" if origin.is_metric else "disparity")


FAMILY = Family(_recognizes, _load, "Depth Anything (hub id)")
