"""CutMix of unlabeled images and its loss (paper equations 5 to 8).

The box is drawn as in UniMatch, by the same first author; the paper gives no numbers (docs/paper.md 1.6).
Prediction and both pseudo labels are normalized inside each region only: four normalizations. Trimming looks at
the whole mixed map after that. Nothing here draws from a global random generator.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from depth_model.objectives.affine_invariant import (
    check_maps,
    informative_images,
    mean_over_counted,
    normalized_residual,
    trimmed_mean,
)

BOX_AREA = (0.02, 0.4)
BOX_ASPECT = (0.3, 1 / 0.3)
LONGEST_CROP = 4.0
"""Height and width of a crop may differ by this factor at most; in a longer one a large box never fits."""
MINIMUM_REGION_PIXELS = 10
"""A region with fewer valid pixels has no meaningful median and gets weight 0."""


def sample_box(generator: np.random.Generator, height: int, width: int, probability: float = 0.5) -> np.ndarray:
    """Draw one CutMix mask M, boolean (height, width).

    With `probability` M holds one rectangle of True: area uniform in 2 to 40 % of the image, height / width
    uniform in 0.3 to 3.33, position uniform, aspect and position drawn again until it fits. Otherwise M is all
    True (no CutMix).
    Raises ValueError when one side is more than four times the other.
    """
    if max(height, width) > LONGEST_CROP * min(height, width):
        raise ValueError(f"a {height}x{width} crop is too long for CutMix: keep its sides within a factor of 4")
    mask = np.ones((height, width), dtype=bool)
    if generator.random() >= probability:
        return mask
    top, left, box_height, box_width = _fitting_box(generator, height, width)
    mask[:] = False
    mask[top : top + box_height, left : left + box_width] = True
    return mask


def _fitting_box(generator: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
    area = generator.uniform(*BOX_AREA) * height * width
    while True:
        aspect = generator.uniform(*BOX_ASPECT)
        box_height, box_width = int(math.sqrt(area * aspect)), int(math.sqrt(area / aspect))
        top, left = int(generator.integers(height)), int(generator.integers(width))
        if top + box_height <= height and left + box_width <= width:
            return top, left, box_height, box_width


def cutmix(images_a: Tensor, images_b: Tensor, box_mask: Tensor) -> Tensor:
    """Return u_ab = u_a * M + u_b * (1 - M) (equation 5).

    Images are (B, 3, H, W), `box_mask` is boolean (B, H, W); where a mask is all True the image of `images_a`
    comes back unchanged.
    """
    return torch.where(box_mask[:, None], images_a, images_b)


def cutmix_loss(
    prediction: Tensor,
    target_a: Tensor,
    target_b: Tensor,
    valid_a: Tensor,
    valid_b: Tensor,
    box_mask: Tensor,
    trim: float = 0.0,
) -> Tensor:
    """Return the loss of predictions on mixed images, equation 8 on valid pixels, as a scalar float32.

    All maps are (B, H, W): `prediction` on the mixed image, the pseudo labels `target_a`, `target_b` of the two
    clean images with boolean validity, and the boolean `box_mask` M, True where `images_a` shows.
    The mean of the residuals over all valid pixels of the mixed map equals the area-weighted sum of equation 8;
    with `trim` in [0, 1) the largest residuals of the whole map are left out first. A region with fewer than
    10 valid pixels or a constant pseudo label has weight 0; with an all-True M this is the
    affine-invariant loss against `target_a`. Raises ValueError for maps of different shapes and a bad `trim`.
    """
    check_maps(prediction, target_a, target_b, valid_a, valid_b, box_mask)
    residual_a, inside = _region_residual(prediction, target_a, box_mask & valid_a)
    residual_b, outside = _region_residual(prediction, target_b, ~box_mask & valid_b)
    mask = inside | outside
    losses = trimmed_mean((residual_a + residual_b).abs(), mask, trim)
    return mean_over_counted(losses, mask.flatten(1).any(dim=1))


def informative_mixes(target_a: Tensor, target_b: Tensor, valid_a: Tensor, valid_b: Tensor, box_mask: Tensor) -> Tensor:
    """Return (B,) boolean: which mixed images `cutmix_loss` counts, those with a region of weight above 0."""
    inside, outside = box_mask & valid_a, ~box_mask & valid_b
    return (informative_images(target_a, inside) & _large(inside)) | (
        informative_images(target_b, outside) & _large(outside)
    )


def _region_residual(prediction: Tensor, target: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Return the residual (B, H, W), 0 outside `region`, and `region` without the regions of weight 0."""
    residual, informative = normalized_residual(prediction, target, region)
    return residual, region & (informative & _large(region))[:, None, None]


def _large(region: Tensor) -> Tensor:
    return region.flatten(1).sum(dim=1) >= MINIMUM_REGION_PIXELS
