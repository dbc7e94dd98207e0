"""A metric model of ours as evaluation sees it."""

from __future__ import annotations

from depth_model.evaluation.estimator import Estimator
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.metric.prediction.predictor import MetricPredictor
from depth_model.prediction.predictor import inference_device


def of_metric(model: MetricDepth, network_size: tuple[int, int] | None = None) -> Estimator:
    """Return a metric model of ours as an estimator of maps at the network's size, by default the model's own."""
    predictor = MetricPredictor(model.to(inference_device()))
    if network_size is not None:
        model.input_size = network_size
    return Estimator("metric_depth", lambda image, names: predictor.network_depth([image])[0].numpy())
