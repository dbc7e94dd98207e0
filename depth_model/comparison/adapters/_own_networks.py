"""What the networks of this project share: the pre-processing of the released model (docs/paper.md 8.3)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from depth_model.comparison.adapters import Origin, Settings
from depth_model.metric.heads.checkpoints import is_metric
from depth_model.metric.heads.metric_depth import MetricDepth, load_depth
from depth_model.networks import DepthAnything, checkpoints
from depth_model.networks.device import inference_device
from depth_model.networks.preprocessing import check_short_side, network_size
from depth_model.networks.releases import release_of
from depth_model.prediction.estimator import Estimator
from depth_model.prediction.predictor import network_image, resized


def loaded(origin: Origin, settings: Settings) -> DepthAnything | MetricDepth:
    """Load a model of either kind; range and version of `settings` are for a file that does not say its own."""
    told = release_of(origin.name) or checkpoints.config_file(origin.name).is_file()
    maximum = settings.maximum if is_metric(origin.name, settings.maximum) else None
    return load_depth(origin.name, None if told else settings.version, maximum)


def estimator(model: nn.Module, settings: Settings, space: str, whole: bool = False) -> Estimator:
    """Return a network of normalized images (1, 3, h, w) -> (1, h, w) as an estimator of maps at the network's size,
    or if `whole` at the image's, with corners aligned, as the second Depth Anything gives them.

    Raises ValueError for a short side that its patch does not divide.
    """
    device, patch = inference_device(), model.encoder.patch
    if settings.network_size is None:
        check_short_side(settings.short_side, patch)
    model = model.eval().to(device)

    @torch.inference_mode()
    def predict(image: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        size = settings.network_size or network_size(*image.shape[:2], settings.short_side, patch)
        values = model(torch.from_numpy(network_image(image, size))[None].to(device))[0].float().cpu().numpy()
        return resized(values, image.shape[:2], align_corners=True) if whole else values

    return Estimator(space, predict)
