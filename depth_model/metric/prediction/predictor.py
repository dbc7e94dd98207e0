"""Depth in metres for an image, as the released metric models are used (docs/paper.md 5).

The whole image is squashed to the size that the model was trained at, whatever its aspect ratio, and the depth is
brought back to the size of the image; both bilinear with corners aligned. Metric models know neither camera nor zoom:
a picture taken with another focal length than those of their training comes out at another scale.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import torch
from torch.nn import functional

from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks.preprocessing import normalised, squashed
from depth_model.prediction.predictor import Picture, rgb


class MetricPredictor:
    """Metres of images of any size: `MetricPredictor(model)(image)`.

    `model` is used in evaluation mode on the device it is on; `batch` bounds how many images go through it at once.
    `flip_averaging` takes the mean with the mirrored map of the mirrored image, as the published figures do.
    """

    def __init__(self, model: MetricDepth, batch: int = 8, flip_averaging: bool = False) -> None:
        self.model = model.eval()
        self.batch = batch
        self.flip_averaging = flip_averaging

    @overload
    def __call__(self, images: Picture) -> np.ndarray: ...
    @overload
    def __call__(self, images: list[Picture]) -> list[np.ndarray]: ...
    def __call__(self, images: Picture | list[Picture]) -> np.ndarray | list[np.ndarray]:
        """Return planar depth in metres, float32 (H, W) > 0, at the size of the image, or a list of them for a list.

        Raises what `depth_model.prediction.predictor.rgb` raises.
        """
        if not isinstance(images, list):
            return self([images])[0]
        pictures = [rgb(image) for image in images]
        depth = []
        for start in range(0, len(pictures), self.batch):
            some = pictures[start : start + self.batch]
            depth += [_enlarged(one, image.shape[:2]) for one, image in zip(self.network_depth(some), some)]
        return depth

    @torch.inference_mode()
    def network_depth(self, images: list[np.ndarray]) -> torch.Tensor:
        """Return depth (B, h, w) on the CPU at the network's size, of uint8 images (H, W, 3)."""
        device = next(self.model.parameters()).device
        shown = [squashed(image.astype(np.float32) / 255, self.model.input_size) for image in images]
        inputs = normalised(torch.cat(shown)).to(device)
        depth = self.model(inputs)
        if self.flip_averaging:
            depth = (depth + self.model(inputs.flip(-1)).flip(-1)) / 2
        return depth.float().cpu()


def _enlarged(depth: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    return functional.interpolate(depth[None, None], size=size, mode="bilinear", align_corners=True)[0, 0].numpy()
