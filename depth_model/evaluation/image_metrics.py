"""The metrics of one image by a protocol: relative depth is aligned first, metric depth is taken as it is.

Zero-shot relative depth is docs/paper.md 4.1, metric depth 4.2 (ZoeDepth's nine metrics).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from depth_model.errors import BadInput
from depth_model.evaluation.fitting import Fit, fit
from depth_model.evaluation.protocols import Protocol
from depth_model.evaluation.truth import Truth, truth_of
from depth_model.metrics.boundaries import boundary_f1
from depth_model.metrics.depth import (
    BOUNDARY_F1,
    METRIC_DEPTH_METRICS,
    METRICS,
    NORMAL_METRICS,
    Metric,
    depth_metrics,
    zoedepth_metrics,
)
from depth_model.metrics.normals import normal_metrics


def metrics_of(protocol: Protocol) -> tuple[Metric, ...]:
    """Return the metrics that `protocol` measures, in order."""
    common = METRIC_DEPTH_METRICS if protocol.is_metric else METRICS
    return (*common, *([BOUNDARY_F1] * protocol.boundaries), *(NORMAL_METRICS * protocol.normals))


def relative_depth_metrics(
    prediction: np.ndarray, target: np.ndarray, kind: str, protocol: Protocol, space: str = "disparity"
) -> dict[str, float]:
    """Return the metrics of one image: `prediction` (H, W) in `space` against `target` (H, W) of `kind`.

    Raises BadInput with fewer than 10 pixels of truth that count, for `affine_disparity`, and for a prediction that
    is not finite.
    """
    truth = truth_of(target, kind, protocol)
    return image_metrics(prediction, truth, fit(prediction, truth, space, protocol))


def metric_depth_metrics(prediction: np.ndarray, target: np.ndarray, protocol: Protocol) -> dict[str, float]:
    """Return the nine metrics of ZoeDepth for `prediction` against `target`, both (H, W) meters, NaN = no truth.

    Nothing is aligned, whatever `protocol` says of alignment. Raises BadInput with fewer than 10 pixels of truth that
    count, for a prediction that is not finite (unless `protocol.fill_invalid`), and for one that is not positive.
    """
    return relative_depth_metrics(
        prediction, target, "metric_depth", replace(protocol, alignment="none"), "metric_depth"
    )


def image_metrics(prediction: np.ndarray, truth: Truth, found: Fit) -> dict[str, float]:
    """Return the metrics that `metrics_of` names, of `prediction` (H, W) against `truth`, brought to it by `found`."""
    protocol = found.protocol
    predicted = prediction.ravel().take(truth.places)
    depth = found.depth(predicted)
    if protocol.is_metric:
        if not (protocol.fill_invalid or np.isfinite(predicted).all()):
            raise BadInput("the prediction is not finite")
        if depth.min() <= 0:
            raise BadInput("the prediction is not positive everywhere, metric depth is")
        values = zoedepth_metrics(depth, truth.depth)
    else:
        values = depth_metrics(depth, truth.depth)
    if protocol.boundaries:
        values[BOUNDARY_F1.key] = boundary_f1(found.depth(prediction), truth.map())
    if protocol.normals:
        values |= normal_metrics(found.depth(prediction), truth.map(), truth.intrinsics)
    return values
