"""Relative Depth Anything, first and second: our folders, transformers folders, official `.pth` files."""

from __future__ import annotations

from depth_model.comparison.adapters import Family, Origin, Settings
from depth_model.comparison.adapters._own_networks import estimator
from depth_model.evaluation.estimator import Estimator
from depth_model.networks import DepthAnything


def _recognises(origin: Origin) -> bool:
    if origin.kind == "file":
        return not origin.name.endswith(".pt")
    return origin.local and origin.kind == "depth_anything" and not origin.is_metric


def _load(origin: Origin, settings: Settings) -> Estimator:
    return estimator(DepthAnything.load(origin.name), settings, "disparity")


FAMILY = Family(_recognises, _load, "Depth Anything (folder or .pth)")
