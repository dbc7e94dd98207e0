"""Metric Depth Anything: our folders and transformers'. Bare files are in `depth_anything`, whose content decides."""

from __future__ import annotations

from depth_model.comparison.adapters import Family, Origin, Settings
from depth_model.comparison.adapters._own_networks import loaded
from depth_model.metric.heads.checkpoints import MODEL_TYPE
from depth_model.metric.prediction.estimator import of_metric
from depth_model.prediction.estimator import Estimator


def _recognizes(origin: Origin) -> bool:
    return origin.kind == MODEL_TYPE or (origin.kind == "depth_anything" and origin.is_metric)


def _load(origin: Origin, settings: Settings) -> Estimator:
    return of_metric(loaded(origin, settings), settings.network_size, settings.short_side)


FAMILY = Family(_recognizes, _load, "metric Depth Anything (folder)")
