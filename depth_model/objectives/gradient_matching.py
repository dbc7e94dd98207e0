"""Gradient matching between prediction and target (MiDaS equation 11; weight 0 by default in Depth Anything).

Paper section 1.8: the term is not part of the first Depth Anything; it sharpens edges when labels are synthetic.
"""

from __future__ import annotations

from torch import Tensor

from depth_model.objectives.affine_invariant import check_maps, mean_over_counted, normalized_residual


def residual_gradient(residual: Tensor, mask: Tensor, scales: int) -> Tensor:
    """Return the sum over scales of the mean absolute gradient of `residual`, (B,) float32.

    Scale k takes every 2**k-th row and column of `residual` (B, H, W) and boolean `mask` (B, H, W). A difference
    counts if both its pixels are valid; it is divided by the number of valid pixels at that scale (MiDaS).
    """
    total = residual.new_zeros(residual.shape[0])
    for step in (2**k for k in range(scales)):
        coarse, valid = residual[:, ::step, ::step], mask[:, ::step, ::step]
        horizontal = (coarse[:, :, 1:] - coarse[:, :, :-1]).abs() * (valid[:, :, 1:] & valid[:, :, :-1])
        vertical = (coarse[:, 1:] - coarse[:, :-1]).abs() * (valid[:, 1:] & valid[:, :-1])
        count = valid.flatten(1).sum(dim=1).clamp_min(1)
        total = total + (horizontal.flatten(1).sum(dim=1) + vertical.flatten(1).sum(dim=1)) / count
    return total


def gradient_matching_loss(prediction: Tensor, target: Tensor, mask: Tensor, scales: int = 4) -> Tensor:
    """Return the multi-scale gradient-matching loss as a scalar float32.

    `prediction`, `target` (B, H, W) are disparity maps of any scale and shift, normalized here as in the
    affine-invariant loss; `mask` (B, H, W) is boolean. Images without a valid pixel or with a constant target do
    not count. Raises ValueError for maps of different shapes.
    """
    check_maps(prediction, target, mask)
    residual, informative = normalized_residual(prediction, target, mask)
    return mean_over_counted(residual_gradient(residual, mask, scales), informative)
