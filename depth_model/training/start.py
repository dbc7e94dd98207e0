"""The model that a training starts from, and the loss on labels: what teacher and student have in common."""

from __future__ import annotations

from torch import Tensor

from depth_model.networks import DepthAnything
from depth_model.networks.depth_anything import SPREAD_BLOCKS
from depth_model.objectives import affine_invariant_loss, gradient_matching_loss
from depth_model.training.batches import Batch
from depth_model.training.loop import TrainingSettings, best_device


def initial_model(size: str, weights: str, seed: int, training: TrainingSettings) -> DepthAnything:
    """Return the model with encoder `weights` and a random decoder on the device that it is trained on.

    Raises what `DepthAnything` raises.
    """
    blocks = SPREAD_BLOCKS.get(size) if training.taps == "spread" else None
    model = DepthAnything(size, weights, seed, blocks=blocks)
    model.encoder.checkpointing = training.gradient_checkpointing
    return model.to(best_device())


def label_losses(disparity: Tensor, batch: Batch, gradient_matching: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss on the labels of a batch, and its terms by name.

    The affine-invariant loss (equations 1 to 3), and `gradient_matching` times the gradient-matching loss if that is
    not 0: the second Depth Anything uses 2 for its synthetic labels, the first has no such term (paper.md 1.8).
    """
    labels = batch["disparity"], batch["valid"]
    affine_invariant = affine_invariant_loss(disparity, *labels)
    if not gradient_matching:
        return affine_invariant, {"affine_invariant": affine_invariant}
    gradient = gradient_matching_loss(disparity, *labels)
    terms = {"affine_invariant": affine_invariant, "gradient_matching": gradient}
    return affine_invariant + gradient_matching * gradient, terms
