"""Depth in meters for an image, as the released metric models are used (docs/paper.md 5).

The whole image is squashed to the size that the model was trained at, whatever its aspect ratio, bilinear with corners
aligned; a model of the second Depth Anything sees it as a relative one does. The depth is brought back to the size of
the image, bilinear with corners aligned. Metric models know neither camera nor zoom:
a picture taken with another focal length than those of their training comes out at another scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import torch

from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks.preprocessing import check_short_side, network_size, normalized, squashed
from depth_model.prediction.predictor import Picture, batches_by_size, network_image, resized, rgb


class MetricPredictor:
    """Meters of images of any size: `MetricPredictor(model)(image)`.

    `model` is used in evaluation mode on the device it is on; `batch` bounds how many images go through it at once.
    `flip_averaging` takes the mean with the mirrored map of the mirrored image, as the published figures do.
    `short_side` in pixels, a multiple of its patch, is for a model that keeps the aspect ratio, by default its own.
    Raises ValueError for another one.
    """

    def __init__(
        self, model: MetricDepth, batch: int = 8, flip_averaging: bool = False, short_side: int | None = None
    ) -> None:
        self.model = model.eval()
        self.input_size = model.input_size
        if isinstance(self.input_size, int):
            self.input_size = short_side or self.input_size
            check_short_side(self.input_size, model.encoder.patch)
        self.batch = batch
        self.flip_averaging = flip_averaging

    @overload
    def __call__(self, images: Picture) -> np.ndarray: ...
    @overload
    def __call__(self, images: list[Picture]) -> list[np.ndarray]: ...
    def __call__(self, images: Picture | list[Picture]) -> np.ndarray | list[np.ndarray]:
        """Return planar depth in meters, float32 (H, W) > 0, at the size of the image, or a list of them for a list.

        Raises what `depth_model.prediction.predictor.rgb` raises.
        """
        if not isinstance(images, list):
            return self([images])[0]
        pictures = [rgb(image) for image in images]
        maps = self.network_depth(pictures)
        return [resized(depth, picture.shape[:2], align_corners=True) for depth, picture in zip(maps, pictures)]

    @torch.inference_mode()
    def network_depth(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return float32 depth (h, w) at the network's size for each uint8 image (H, W, 3)."""
        device = next(self.model.parameters()).device
        results: list[np.ndarray] = [np.empty(0)] * len(images)
        for size, places in batches_by_size([self._size(image) for image in images], self.batch):
            inputs = torch.cat([self._shown(images[place], size) for place in places]).to(device)
            depth = self.model(inputs)
            if self.flip_averaging:
                depth = (depth + self.model(inputs.flip(-1)).flip(-1)) / 2
            for place, one in zip(places, depth.float().cpu().numpy(), strict=True):
                results[place] = one
        return results

    def _size(self, image: np.ndarray) -> tuple[int, int]:
        if isinstance(self.input_size, int):
            return network_size(*image.shape[:2], self.input_size, self.model.encoder.patch)
        return self.input_size

    def _shown(self, image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
        if isinstance(self.input_size, int):
            return torch.from_numpy(network_image(image, size))[None]
        return normalized(squashed(image.astype(np.float32) / 255, size))
