"""Images with their conditioning and captions, from a pool with pseudo labels: what a ControlNet learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from depth_model.media.pictures import spread
from depth_model.shards.pool import SamplePool
from depth_model.training.augmentation import crop_image, crop_raster, draw_crop

CAPTION = "a photograph"


@dataclass(frozen=True)
class Examples:
    """The samples of `pool`, whose targets are pseudo labels, as squares of `side` pixels. `captions` are by
    `source/key`; what has none gets `caption`."""

    pool: SamplePool
    side: int
    caption: str = CAPTION
    captions: Mapping[str, str] = field(default_factory=dict)

    def batch(self, indices: Sequence[int], generator: np.random.Generator) -> tuple[Tensor, Tensor, list[str]]:
        """Return images float32 (B, 3, S, S) in [-1, 1], conditioning float32 (B, 3, S, S) in [0, 1], as
        `conditioning_image` has it, and captions, of the samples `indices`; crops and mirrors come from `generator`."""
        made = [self._example(int(index), generator) for index in indices]
        images = torch.from_numpy(np.stack([image for image, _, _ in made])).permute(0, 3, 1, 2)
        gray = torch.from_numpy(np.stack([depth for _, depth, _ in made]))[:, None]
        return images.float() / 127.5 - 1, gray.float().expand(-1, 3, -1, -1) / 255, [one for _, _, one in made]

    def _example(self, index: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
        sample = self.pool.load(index)
        crop = draw_crop(generator, *sample.image.shape[:2], self.side)
        # Codes are affine in disparity, which is all that counts; 0, no label, is as far as can be.
        gray = (spread(sample.target.astype(np.float32)) * 255).astype(np.uint8)
        caption = self.captions.get(f"{sample.source}/{sample.key}", self.caption)
        return crop_image(sample.image, crop), crop_raster(gray, crop), caption
