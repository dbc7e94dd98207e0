"""Scale-invariant logarithmic loss of metric depth, in the two forms that Depth Anything's fine-tunings use.

Paper section 5 (ZoeDepth's) and section 10 (that of the second Depth Anything). For metric models only: the teacher and
student of relative disparity learn from the affine-invariant loss.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from depth_model.objectives.affine_invariant import check_maps
from depth_model.objectives.precision import at_least_float32

LOG_FLOOR = 1e-7
"""Added to depths in meters before ZoeDepth's logarithm."""


def silog_loss(
    prediction: Tensor, target: Tensor, mask: Tensor, form: Literal["zoedepth", "second_version"] = "zoedepth"
) -> Tensor:
    """Return the loss over all masked pixels of the batch as a scalar float32.

    With g = ln prediction - ln target, "zoedepth" is 10 sqrt(Var(g) + 0.15 mean(g)^2) with the unbiased variance and
    both depths raised by 1e-7; "second_version" is sqrt(mean(g^2) - 0.5 mean(g)^2). `prediction` and `target`
    (B, H, W) are depths in meters, positive inside the boolean `mask` (B, H, W); the target may be anything elsewhere.
    Fewer than two masked pixels have no variance: the loss is then a zero that is still connected to the prediction.
    Raises ValueError for maps of different shapes and for an unknown form.
    """
    check_maps(prediction, target, mask)
    if form not in ("zoedepth", "second_version"):
        raise ValueError(f"form={form!r}: choose zoedepth or second_version")
    if int(mask.sum()) < 2:
        return 0.0 * torch.where(mask, at_least_float32(prediction), 0.0).sum()
    floor = LOG_FLOOR if form == "zoedepth" else 0.0
    found, true = at_least_float32(prediction[mask]), at_least_float32(target[mask])
    difference = (found + floor).log() - (true + floor).log()
    if form == "zoedepth":
        return 10 * _root(difference.var(unbiased=True) + 0.15 * difference.mean() ** 2)
    return _root((difference**2).mean() - 0.5 * difference.mean() ** 2)


def _root(value: Tensor) -> Tensor:
    """Return the square root, with a gradient of 0 where it is 0: a perfect prediction has nothing to learn."""
    positive = value > 0
    return torch.where(positive, torch.where(positive, value, 1.0).sqrt(), 0.0 * value)
