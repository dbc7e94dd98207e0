"""The model that a training starts from, and the loss on labels: what teacher and student have in common."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from depth_model.errors import UserError
from depth_model.networks import DepthAnything
from depth_model.networks.variants import OutIndices
from depth_model.objectives import affine_invariant_loss, gradient_matching_loss, informative_images
from depth_model.training.batches import Batch
from depth_model.training.loop import LoopSettings
from depth_model.training.processes import best_device, shares


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(LoopSettings):
    """What teacher and student share beyond the loop: crop (pixels), the largest gradient norm, weight decay, warm-up
    (steps, or a fraction of them below 1); weight of gradient matching on labels, which encoder blocks the decoder
    reads, and whether encoder blocks are computed again in the backward pass to save memory."""

    crop: int
    gradient_clip: float
    weight_decay: float
    warmup: float = 0.0
    gradient_matching: float = 0.0
    out_indices: OutIndices = "last"
    gradient_checkpointing: bool = False


def initial_model(size: str, weights: str, seed: int, training: TrainingSettings) -> DepthAnything:
    """Return the model with encoder `weights` and a random decoder on the device that it is trained on.

    Raises what `DepthAnything` raises.
    """
    model = DepthAnything(size, weights, seed, version="v2" if training.out_indices == "spread" else "v1")
    model.encoder.checkpointing = training.gradient_checkpointing
    return model.to(best_device())


def label_losses(disparity: Tensor, batch: Batch, gradient_matching: float) -> dict[str, Tensor]:
    """Return the losses on the labels of a batch by name.

    The affine-invariant loss (equations 1 to 3), and the gradient-matching loss if its weight is not 0.
    """
    labels = batch["disparity"], batch["valid"]
    terms = {"affine_invariant": affine_invariant_loss(disparity, *labels)}
    if gradient_matching:
        terms["gradient_matching"] = gradient_matching_loss(disparity, *labels)
    return terms


def label_weights(gradient_matching: float) -> dict[str, float]:
    """Return the weights of `label_losses`: the second Depth Anything takes 2 for gradient matching on its synthetic
    labels, the first has no such term (docs/paper.md 1.8)."""
    weights = {"affine_invariant": 1.0, "gradient_matching": gradient_matching}
    return {name: weight for name, weight in weights.items() if weight}


def label_counts(batch: Batch) -> dict[str, Tensor | float]:
    """Return over how many images each of `label_losses` is."""
    counted = informative_images(batch["disparity"], batch["valid"]).sum()
    return {"affine_invariant": counted, "gradient_matching": counted}


def check_shares(name: str, images: int, accumulation: int) -> None:
    """Raise UserError unless every process has an image of each batch of `images` in each of its parts."""
    parts = shares(accumulation)[0].of
    if parts > images:
        raise UserError(
            f"{name} = {images} images in a batch cannot be shared by {parts // accumulation} processes"
            f" with training.accumulation = {accumulation}; enlarge it or lower them"
        )
