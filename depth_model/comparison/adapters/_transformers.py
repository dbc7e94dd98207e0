"""What the families of transformers share: the processor of their own, the model, and the call of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

from depth_model.comparison.adapters import Origin
from depth_model.networks.device import inference_device
from depth_model.prediction.estimator import Estimator

Depth = Callable[[Any, Any, tuple[int, int]], torch.Tensor]


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ValueError(
            f"this model needs transformers, which is not here ({error}): pip install 'open-depth-anything[adapters]'"
        ) from error
    return transformers


def predicted_depth(processor: Any, outputs: Any, size: tuple[int, int]) -> torch.Tensor:
    """Return the network's own map (h, w), for families that need no post-processing."""
    return outputs.predicted_depth[0]


def estimator(origin: Origin, space: str, depth: Depth = predicted_depth) -> Estimator:
    """Return a depth model of transformers with the processor saved beside it.

    `depth(processor, outputs, size of the image)` makes a map of the outputs. The processor has a size of its own:
    nothing of `Settings` applies. Raises ValueError when the folder lacks a file.
    """
    transformers = _transformers()
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(origin.name, trust_remote_code=False)
        model = transformers.AutoModelForDepthEstimation.from_pretrained(origin.name, trust_remote_code=False)
    except OSError as error:
        raise ValueError(f"{origin.name}: {' '.join(str(error).split())[:200]}") from error
    device = inference_device()
    model = model.eval().to(device)

    @torch.inference_mode()
    def predict(image: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        inputs = processor(images=Image.fromarray(image), return_tensors="pt").to(device)
        return depth(processor, model(**inputs), image.shape[:2]).float().cpu().numpy()

    return Estimator(space, predict)
