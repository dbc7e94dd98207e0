"""What the networks of this project share: the pre-processing of the released model (docs/paper.md 8.3)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from depth_model.comparison.adapters import Settings
from depth_model.evaluation.estimator import Estimator
from depth_model.networks.preprocessing import check_short_side, network_size
from depth_model.prediction.predictor import inference_device, network_image


def estimator(model: nn.Module, settings: Settings, space: str) -> Estimator:
    """Return a network of normalised images (1, 3, h, w) -> (1, h, w) as an estimator of maps at the network's size.

    Raises ValueError for a short side that its patch does not divide.
    """
    device, patch = inference_device(), model.encoder.patch
    if settings.network_size is None:
        check_short_side(settings.short_side, patch)
    model = model.eval().to(device)

    @torch.inference_mode()
    def predict(image: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        size = settings.network_size or network_size(*image.shape[:2], settings.short_side, patch)
        return model(torch.from_numpy(network_image(image, size))[None].to(device))[0].float().cpu().numpy()

    return Estimator(space, predict)
