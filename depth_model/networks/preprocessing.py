"""What the network wants of an image: size and normalization, in training and inference (docs/paper.md 8.3)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depth_model.networks.variants import PATCH

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LARGEST_ASPECT = 8
"""Longer sides than so many shorter ones are squashed to that: a picture of 2 x 1200 pixels would fill the memory."""


def check_short_side(short_side: int, patch: int) -> None:
    """Raise ValueError unless `short_side` in pixels is a positive multiple of `patch`."""
    if short_side <= 0 or short_side % patch:
        raise ValueError(f"short_side = {short_side}: must be a positive multiple of {patch} for this model")


def network_size(height: int, width: int, short_side: int, patch: int = PATCH) -> tuple[int, int]:
    """Return the (height, width) at which the network sees an image: "lower bound" of the released model.

    The shorter side becomes `short_side` pixels (a multiple of `patch`), the other follows, rounded to the nearest
    multiple of `patch`, never below `short_side` and at most `LARGEST_ASPECT` times as long.
    """
    scale = max(short_side / height, short_side / width)
    longest = LARGEST_ASPECT * short_side
    return _rounded(scale * height, short_side, longest, patch), _rounded(scale * width, short_side, longest, patch)


def transformers_size(height: int, width: int, short_side: int, patch: int = PATCH) -> tuple[int, int]:
    """Return the (height, width) at which transformers' processor shows an image to the network (docs/paper.md 8.3).

    The side that needs less of a change becomes `short_side`, the other follows: of an image that is enlarged in both
    directions the longer side does. Both are rounded to the nearest multiple of `patch`, never to 0; bounded as by
    `network_size`.
    """
    scale = min(short_side / height, short_side / width, key=lambda one: abs(1 - one))
    longest = LARGEST_ASPECT * short_side
    return _rounded(scale * height, patch, longest, patch), _rounded(scale * width, patch, longest, patch)


def squashed(image: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Return `image`, float32 (H, W, 3), as (1, 3, *size): bilinear with corners aligned, whatever its aspect ratio, as
    the released metric models see it (docs/paper.md 5)."""
    values = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return functional.interpolate(values, size=size, mode="bilinear", align_corners=True)


def normalized(images: Tensor) -> Tensor:
    """Return `images` (B, 3, H, W) in [0, 1], normalized with ImageNet's mean and deviation."""
    mean, deviation = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / deviation


def _rounded(length: float, least: int, most: int, patch: int) -> int:
    nearest = round(length / patch) * patch
    return min(nearest if nearest >= least else math.ceil(length / patch) * patch, most)
