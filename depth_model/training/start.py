"""The model that a training starts from, and the loss on labels: what teacher and student have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from depth_model.errors import UserError
from depth_model.networks import DepthAnything
from depth_model.networks.provenance import start_model
from depth_model.objectives import affine_invariant_loss, gradient_matching_loss, informative_images
from depth_model.training.batches import Batch
from depth_model.training.processes import best_device, shares
from depth_model.training.settings import (
    ENCODER,
    StudentSettings,
    TeacherSettings,
    TrainingMachine,
    TrainingSettings,
)
from depth_model.training.terms import Samples, Term


def initial_model(
    role: str,
    settings: TeacherSettings | StudentSettings,
    weights: str,
    seed: int,
    training: TrainingSettings,
    machine: TrainingMachine,
) -> DepthAnything:
    """Return what the training of `role` (teacher or student) starts from, on the device that it is trained on:
    encoder `weights` and a random decoder, or the whole model that `settings.initial` names.

    Raises what `DepthAnything` and `start_model` raise.
    """
    if settings.initial == ENCODER:
        version = "v2" if training.out_indices == "spread" else "v1"
        model = DepthAnything(settings.encoder, weights, seed, version=version)
    else:
        model = start_model(role, settings.initial, settings.encoder, training.out_indices)
    model.encoder.checkpointing = machine.gradient_checkpointing
    return model.to(best_device())


@dataclass(frozen=True)
class Seen:
    """What the network makes of a batch: disparity (B, H, W), and its first rows, `on_labeled`, which are those of the
    `labeled` part, if there is one; the student's has the `unlabeled` part too, the loss on features with the share
    of active ones, and logits (B, C, h, w) with the classes, uint8 (B, S, S), of its unlabeled images.

    Losses share one slice, so that their gradients meet in the order of one sum.
    """

    disparity: Tensor
    on_labeled: Tensor
    labeled: Batch | None
    unlabeled: Batch | None = None
    features: tuple[Tensor, Tensor] | None = None
    classes: tuple[Tensor, Tensor] | None = None


def label_terms(labeled: Callable[[Batch], Batch], training: TrainingSettings) -> list[Term]:
    """Return the losses on labels: the affine-invariant one (equations 1 to 3), and gradient matching with its weight.

    `labeled` gives the labeled part of a batch. The second Depth Anything takes 2 for gradient matching on its
    synthetic labels, the first has no such term (docs/paper.md 1.8).
    """

    def informative(batch: Batch) -> Tensor:
        return informative_images(*_labels(labeled(batch))).sum()

    terms = [
        Term("affine_invariant", partial(_on_labels, affine_invariant_loss), informative, 1.0),
        Term("gradient_matching", partial(_on_labels, gradient_matching_loss), informative, training.gradient_matching),
    ]
    return [term for term in terms if term.weight]


def _on_labels(loss: Callable[[Tensor, Tensor, Tensor], Tensor], seen: Seen) -> Tensor:
    return loss(seen.on_labeled, *_labels(seen.labeled))


def _labels(labeled: Batch) -> tuple[Tensor, Tensor]:
    return labeled["disparity"], labeled["valid"]


def unusable_term() -> Term:
    """Return how many samples of a batch have no usable target."""
    return Term("unusable_targets", _unusable, None)


def _unusable(seen: Seen) -> Tensor:
    return sum(part["unusable"] for part in (seen.labeled, seen.unlabeled) if part is not None)


def anchor_terms(model: DepthAnything, initial: str, weight: float, images: Samples) -> list[Term]:
    """Return the anchor against forgetting with its `weight`, nothing for 0: half the squared distance of the weights
    from those that `model` has now (L2-SP: Li, Grandvalet and Davoine, ICML 2018).

    A decoder that is new has nothing to forget: with `initial` "encoder" the encoder alone is held. `images` counts
    those of a batch, over whose shares the term is divided.
    """
    if not weight:
        return []
    held = [
        (parameter, parameter.detach().clone())
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (initial != ENCODER or name.startswith("encoder."))
    ]

    def distance(seen: Seen) -> Tensor:
        return torch.stack([(now - start).square().sum() for now, start in held]).sum() / 2

    return [Term("anchor", distance, images, weight)]


def check_shares(name: str, images: int, accumulation: int) -> None:
    """Raise UserError unless every process has an image of each batch of `images` in each of its parts."""
    parts = shares(accumulation)[0].of
    if parts > images:
        raise UserError(
            f"{name} = {images} images in a batch cannot be shared by {parts // accumulation} processes"
            f" with training.accumulation = {accumulation}; enlarge it or lower them"
        )
