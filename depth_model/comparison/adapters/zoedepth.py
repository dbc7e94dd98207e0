"""ZoeDepth of transformers: meters. Its processor pads the image by reflection, which is cut off again."""

from __future__ import annotations

from typing import Any

import torch

from depth_model.comparison.adapters import Family, Origin, Settings
from depth_model.comparison.adapters._transformers import estimator
from depth_model.prediction.estimator import Estimator


def _recognizes(origin: Origin) -> bool:
    return origin.kind == "zoedepth"


def _depth(processor: Any, outputs: Any, size: tuple[int, int]) -> torch.Tensor:
    return processor.post_process_depth_estimation(outputs, source_sizes=[size], target_sizes=[size])[0][
        "predicted_depth"
    ]


def _load(origin: Origin, settings: Settings) -> Estimator:
    return estimator(origin, "metric_depth", _depth)


FAMILY = Family(_recognizes, _load, "ZoeDepth (transformers)")
