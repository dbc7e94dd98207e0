"""A metric model of ours as evaluation sees it."""

from __future__ import annotations

from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.metric.prediction.predictor import MetricPredictor
from depth_model.networks.device import inference_device
from depth_model.prediction.estimator import Estimator


def of_metric(
    model: MetricDepth, network_size: tuple[int, int] | None = None, short_side: int | None = None
) -> Estimator:
    """Return a metric model of ours as an estimator of maps at the network's size, by default the model's own, or at
    that of the image, to which the second Depth Anything itself brings them.

    `short_side` is for a model that keeps the aspect ratio.
    """
    predictor = MetricPredictor(model.to(inference_device()), short_side=short_side)
    if network_size is not None:
        predictor.input_size = network_size
    if model.version == "v2":
        return Estimator("metric_depth", lambda image, names: predictor(image))
    return Estimator("metric_depth", lambda image, names: predictor.network_depth([image])[0])
