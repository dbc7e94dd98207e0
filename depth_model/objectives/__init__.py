"""Training objectives: pure functions from batched tensors to scalars, computed in float32."""

from __future__ import annotations

from depth_model.objectives.affine_invariant import affine_invariant_loss, informative_images, normalize_affine
from depth_model.objectives.classes import class_loss, labeled_images
from depth_model.objectives.cutmix import cutmix, cutmix_loss, informative_mixes, sample_box
from depth_model.objectives.feature_alignment import feature_alignment_loss
from depth_model.objectives.gradient_matching import gradient_matching_loss
from depth_model.objectives.silog import silog_loss

__all__ = [
    "affine_invariant_loss",
    "class_loss",
    "cutmix",
    "cutmix_loss",
    "feature_alignment_loss",
    "gradient_matching_loss",
    "informative_images",
    "informative_mixes",
    "labeled_images",
    "normalize_affine",
    "sample_box",
    "silog_loss",
]
