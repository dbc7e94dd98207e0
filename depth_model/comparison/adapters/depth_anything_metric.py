"""Metric Depth Anything: our folders, transformers folders, released `.pt` files with metric bins."""

from __future__ import annotations

from depth_model.comparison.adapters import Family, Origin, Settings
from depth_model.evaluation.estimator import Estimator
from depth_model.metric.heads.checkpoints import MODEL_TYPE
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.metric.prediction.predictor import MetricPredictor
from depth_model.prediction.predictor import inference_device


def _recognises(origin: Origin) -> bool:
    if origin.kind == "file":
        return origin.name.endswith(".pt")
    return origin.local and (origin.kind == MODEL_TYPE or (origin.kind == "depth_anything" and origin.is_metric))


def _load(origin: Origin, settings: Settings) -> Estimator:
    return of_metric(MetricDepth.load(origin.name, settings.maximum), settings.network_size)


def of_metric(model: MetricDepth, network_size: tuple[int, int] | None = None) -> Estimator:
    """Return a metric model of ours as an estimator of maps at the network's size, by default the model's own."""
    predictor = MetricPredictor(model.to(inference_device()))
    if network_size is not None:
        model.input_size = network_size
    return Estimator("metric_depth", lambda image, names: predictor.network_depth([image])[0].numpy())


FAMILY = Family(_recognises, _load, "metric Depth Anything (folder or .pt)")
