"""Cross-entropy of class logits, the loss of the student's auxiliary task (paper 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from depth_model.objectives.affine_invariant import mean_over_counted

IGNORE = 255


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over images of the mean cross-entropy of their labeled pixels, a scalar float32.

    `logits` (B, C, h, w); `labels` uint8 (B, H, W), 255 = none, are compared at (h, w), by nearest center. An image
    without any label does not count.
    """
    target = functional.interpolate(labels[:, None].float(), logits.shape[2:], mode="nearest-exact")[:, 0].long()
    losses = functional.cross_entropy(logits.float(), target, ignore_index=IGNORE, reduction="none").flatten(1)
    known = (target != IGNORE).flatten(1).sum(dim=1)
    return mean_over_counted(losses.sum(dim=1) / known.clamp_min(1), labeled_images(labels))


def labeled_images(labels: Tensor) -> Tensor:
    """Return bool (B,): which of the maps (B, H, W) have a label."""
    return torch.any((labels != IGNORE).flatten(1), dim=1)
