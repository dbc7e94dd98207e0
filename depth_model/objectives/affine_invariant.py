"""Affine-invariant loss on disparity maps, with optional trimming (paper equations 1 to 3).

Every map is brought to zero median and unit mean absolute deviation over its own valid pixels, so that
unknown scale and shift of prediction and target do not matter. Deliberate choices where the paper is silent:

- reduction: mean over the valid pixels of an image, then mean over the images that count ("image"), as the equations
  are written; MiDaS's code takes the mean over all valid pixels of the batch ("batch");
- the median is torch's lower median (an even count has no middle element);
- gradient flows through median and scale of the prediction;
- an image without a valid pixel, or with a constant target, does not count. If none counts the loss is a zero
  that is still connected to the prediction, so that a backward pass (and DDP's synchronization) works.

It does not know about sky, pseudo labels or CutMix; `cutmix` builds on the helpers here.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from depth_model.objectives.precision import at_least_float32

SCALE_FLOOR = 1e-6
"""Smallest mean absolute deviation that is divided by; a flatter map counts as constant."""


def check_maps(*maps: Tensor) -> None:
    """Raise ValueError unless all `maps` have one shape (B, H, W)."""
    shapes = [tuple(values.shape) for values in maps]
    if len(shapes[0]) != 3 or len(set(shapes)) != 1:
        raise ValueError(f"maps must all have one shape (B, H, W); got {shapes}")


def median_and_scale(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return t(x) and s(x) of equation 2 per image, each (B, 1, 1) float32.

    `values` (B, H, W) may hold NaN where the boolean `mask` is False. t is the lower median and s the mean
    absolute deviation from t, not clamped, over the pixels in the mask; both are 0 for an empty mask.
    """
    values = at_least_float32(values).flatten(1)
    mask = mask.flatten(1)
    count = mask.sum(dim=1)
    median = torch.where(mask, values, torch.nan).nanmedian(dim=1).values
    median = torch.where(count > 0, median, 0.0)
    deviation = torch.where(mask, values - median[:, None], 0.0).abs()
    scale = deviation.sum(dim=1) / count.clamp_min(1)
    return median[:, None, None], scale[:, None, None]


def normalize_affine(values: Tensor, mask: Tensor) -> Tensor:
    """Bring each map to zero median and unit mean absolute deviation over its mask (equation 2).

    `values` (B, H, W), boolean `mask` (B, H, W); returns float32 (B, H, W), 0 outside the mask. A map flatter
    than `SCALE_FLOOR` is divided by that floor, so the result is finite whatever the values.
    """
    return _divide(values, mask, *median_and_scale(values, mask))


def _divide(values: Tensor, mask: Tensor, median: Tensor, scale: Tensor) -> Tensor:
    return torch.where(mask, at_least_float32(values) - median, 0.0) / scale.clamp_min(SCALE_FLOOR)


def normalized_residual(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the signed residual of the normalized maps, and which images have a target that says something.

    All maps are (B, H, W), `mask` is boolean. The residual (B, H, W) float32 is 0 outside the mask. The second
    value, (B,) boolean, is False for an empty mask and for a target that is constant inside it.
    """
    median, scale = median_and_scale(target, mask)
    residual = normalize_affine(prediction, mask) - _divide(target, mask, median, scale)
    return residual, scale[:, 0, 0] >= SCALE_FLOOR


def informative_images(target: Tensor, mask: Tensor) -> Tensor:
    """Return (B,) boolean: which images the losses count, by `target` and boolean `mask`, both (B, H, W)."""
    return median_and_scale(target, mask)[1][:, 0, 0] >= SCALE_FLOOR


def trimming_limit(values: Tensor, mask: Tensor, trim: float) -> Tensor:
    """Return the linearly interpolated quantile 1 - `trim` of each row over its mask, (B, 1) float32.

    `values` and boolean `mask` are (B, N). Minus infinity for a row without a masked value. Looks only at the
    largest values, which is several times faster than sorting all of them.
    """
    largest = torch.where(mask, values, -torch.inf).topk(math.ceil(trim * (values.shape[1] - 1)) + 1).values
    rank = (mask.sum(dim=1, keepdim=True) - 1).clamp_min(0).double() * trim
    above = largest.gather(1, rank.floor().long())
    below = largest.gather(1, rank.ceil().long())
    blended = above - (above - below) * (rank - rank.floor()).to(values.dtype)
    return torch.where(torch.isinf(above), above, blended)


def trimmed_mean(residual: Tensor, mask: Tensor, trim: float) -> Tensor:
    """Return the mean over each image's mask of the residuals that remain after trimming, (B,) float32.

    `residual` (B, H, W) >= 0, boolean `mask` (B, H, W), `trim` in [0, 1) the fraction of largest residuals left
    out: those strictly below the linear quantile 1 - `trim` are kept (as the authors of Depth Anything
    describe it for both versions); where ties leave nothing strictly below it, those equal to it are kept too.
    0 for an image with an empty mask. Raises ValueError for another `trim`.
    """
    if not 0.0 <= trim < 1.0:
        raise ValueError(f"trim={trim}: give a fraction in [0, 1), 0 keeps every pixel")
    residual, kept = residual.flatten(1), mask.flatten(1)
    if trim > 0.0:
        kept = kept & _small(residual.detach(), kept, trim)
    total = torch.where(kept, residual, 0.0).sum(dim=1)
    return total / kept.sum(dim=1).clamp_min(1)


def _small(residual: Tensor, mask: Tensor, trim: float) -> Tensor:
    """Return which residuals (B, N) lie below their row's quantile 1 - `trim`."""
    limit = trimming_limit(residual, mask, trim)
    below = residual < limit
    only_ties = ~(below & mask).any(dim=1, keepdim=True)
    return below | (only_ties & (residual == limit))


def mean_over_counted(losses: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of `losses` (B,), each taken `counts` (B,) times; a graph-connected 0 if no count is above 0.

    `counts` are bool, or whole numbers for a weighted mean.
    """
    return (torch.where(counts > 0, losses, 0.0) * counts).sum() / counts.sum().clamp_min(1)


def affine_invariant_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    trim: float = 0.0,
    reduction: Literal["image", "batch"] = "image",
) -> Tensor:
    """Return the affine-invariant loss of equations 1 to 3 as a scalar float32.

    `prediction` and `target` are disparity maps (B, H, W) of any scale and shift, `mask` (B, H, W) is boolean,
    True where the target is known (the target may be NaN elsewhere). `trim` in [0, 1) leaves out that fraction
    of largest residuals of each image. With `reduction` "image" every image counts the same, with "batch" every valid
    pixel (docs/paper.md 1.4). Computed in float32 (float64 for float64 input).
    Raises ValueError for maps of different shapes, for `trim` out of range and for another `reduction`.
    """
    if reduction not in ("image", "batch"):
        raise ValueError(f"reduction={reduction!r}: choose image or batch")
    check_maps(prediction, target, mask)
    residual, informative = normalized_residual(prediction, target, mask)
    losses = trimmed_mean(residual.abs(), mask, trim)
    counts = informative if reduction == "image" else informative * mask.flatten(1).sum(dim=1)
    return mean_over_counted(losses, counts)
