"""DPT and MiDaS v3 of transformers: disparity; with a DINOv2 backbone the published ones were made for meters."""

from __future__ import annotations

from depth_model.comparison.adapters import Family, Origin, Settings
from depth_model.comparison.adapters._transformers import estimator
from depth_model.prediction.estimator import Estimator


def _recognizes(origin: Origin) -> bool:
    return origin.kind == "dpt"


def _load(origin: Origin, settings: Settings) -> Estimator:
    backbone = origin.config.get("backbone_config") or {}
    return estimator(origin, "metric_depth" if backbone.get("model_type") == "dinov2" else "disparity")


FAMILY = Family(_recognizes, _load, "DPT / MiDaS v3 (transformers)")
