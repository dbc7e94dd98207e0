"""Marigold of diffusers: depth, or disparity, of an unknown scale and shift, at the resolution and with the number of
steps that its folder recommends. Its noise is drawn from one seed for every image.

Depth with a shift of its own is aligned as depth (`--change alignment=depth`): its inverse has no meaning.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from depth_model.comparison.adapters import Family, Origin, Settings
from depth_model.networks.device import inference_device
from depth_model.prediction.estimator import Estimator

SEED = 0


def _recognizes(origin: Origin) -> bool:
    return origin.kind == "MarigoldDepthPipeline"


def _load(origin: Origin, settings: Settings) -> Estimator:
    try:
        from diffusers import MarigoldDepthPipeline
    except ImportError as error:
        raise ValueError(
            f"Marigold needs diffusers, which is not here ({error}): pip install 'open-depth-anything[controlnet]'"
        ) from error
    try:
        pipeline = MarigoldDepthPipeline.from_pretrained(origin.name, use_safetensors=True, local_files_only=True)
    except OSError as error:
        raise ValueError(f"{origin.name}: {' '.join(str(error).split())[:200]}") from error
    pipeline.to(inference_device()).set_progress_bar_config(disable=True)

    def predict(image: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        noise = torch.Generator(pipeline.device).manual_seed(SEED)
        return pipeline(Image.fromarray(image), generator=noise).prediction[0, :, :, 0]

    return Estimator(pipeline.config.prediction_type, predict)


FAMILY = Family(_recognizes, _load, "Marigold (diffusers)")
