"""The student (paper 3.2 and 3.3): learned from labelled and pseudo-labelled images with a frozen encoder beside it.

Every step takes labelled and unlabelled images (paper: 1:2) through the network in one pass and minimises the
average of three losses: on the labels, on the pseudo labels of strongly perturbed images, and for the encoder's
features. The student starts from the pre-trained encoder, not from the teacher.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from depth_model.datasets.pool import SamplePool
from depth_model.networks import DepthAnything, Encoder, frozen_encoder
from depth_model.objectives import cutmix, cutmix_loss, feature_alignment_loss, informative_mixes
from depth_model.training.augmentation import Perturbation
from depth_model.training.batches import Batch, labeled_batch, network_input, unlabeled_batch
from depth_model.training.collapse import ailing, check_learned, health_counts, prediction_health
from depth_model.training.history import History
from depth_model.training.loop import OnMetrics, Run, train
from depth_model.training.optimizers import adamw, linear_decay
from depth_model.training.processes import best_device
from depth_model.training.sampling import WHOLE, Share, steps_of
from depth_model.training.start import (
    TrainingSettings,
    check_shares,
    initial_model,
    label_counts,
    label_losses,
    label_weights,
)


@dataclass(frozen=True)
class StudentSettings:
    """Size of the encoder, sweeps over the unlabelled images, both parts of a batch, learning rates, the share of
    largest residuals left out on pseudo labels, the decay of the average of the weights (0: none), and the strong
    perturbation."""

    encoder: str
    sweeps: float
    labeled_per_batch: int
    unlabeled_per_batch: int
    encoder_learning_rate: float
    decoder_learning_rate: float
    trim: float
    perturbation: Perturbation
    ema: float = 0.0


@dataclass(frozen=True)
class FeatureAlignment:
    """Tolerance alpha (equation 9), the block (0-based) whose tokens are compared, and the normaliser."""

    alpha: float
    block: int
    normaliser: Literal["remaining", "all"]


def train_student(
    labeled: SamplePool,
    unlabeled: SamplePool,
    weights: str,
    settings: StudentSettings,
    alignment: FeatureAlignment,
    training: TrainingSettings,
    seed: int,
    scratch: Path,
    on_metrics: OnMetrics,
) -> tuple[DepthAnything, History]:
    """Learn the student from `labeled` and the pseudo-labelled `unlabeled` samples (paper 3.2 and 3.3).

    Student and frozen encoder both start from encoder `weights`. Continues from the checkpoints in `scratch`.
    Raises TrainingFailed when the result is no better than a constant, and what
    `depth_model.training.loop.train` and `DepthAnything` raise.
    """
    check_shares("student.unlabeled_per_batch", settings.unlabeled_per_batch, training.accumulation)
    model = initial_model(settings.encoder, weights, seed, training)
    frozen = frozen_encoder(settings.encoder, weights, seed).to(best_device())
    rates = settings.encoder_learning_rate, settings.decoder_learning_rate
    run = Run(
        name="student",
        model=model,
        optimizer=adamw(model, *rates, training.weight_decay),
        schedule=partial(linear_decay, training.warmup),
        steps=steps_of(settings.sweeps, len(unlabeled), settings.unlabeled_per_batch),
        images_per_step=settings.labeled_per_batch + settings.unlabeled_per_batch,
        make_batch=partial(student_batch, labeled, unlabeled, settings, training.crop, seed),
        loss=partial(student_loss, model, frozen, settings.trim, alignment, training.gradient_matching),
        weights=student_weights(training.gradient_matching),
        counts=student_counts,
        gradient_clip=training.gradient_clip,
        ailing=ailing,
        ema=settings.ema,
    )
    history = train(run, training, scratch, on_metrics)
    check_learned("student", history)
    return model, history


def student_batch(
    labeled: SamplePool,
    unlabeled: SamplePool,
    settings: StudentSettings,
    side: int,
    seed: int,
    step: int,
    share: Share = WHOLE,
) -> Batch:
    """Return a share of both parts of batch `step`: `labeled` and `unlabeled` (see `depth_model.training.batches`)."""
    count = settings.unlabeled_per_batch
    return {
        "labeled": labeled_batch(labeled, seed, settings.labeled_per_batch, side, step, share),
        "unlabeled": unlabeled_batch(unlabeled, seed, count, side, settings.perturbation, step, share),
    }


def student_loss(
    model: DepthAnything,
    frozen: Encoder,
    trim: float,
    alignment: FeatureAlignment,
    gradient_matching: float,
    batch: Batch,
) -> dict[str, Tensor]:
    """Return the three losses of a student batch.

    CutMix pastes a box of each perturbed image into its neighbour in the batch; the targets are the pseudo labels
    of both clean images (equations 5 to 8). Features are compared on unlabelled images only; the frozen encoder sees
    what the student sees, so that tokens correspond.
    """
    labeled, unlabeled = batch["labeled"], batch["unlabeled"]
    clean = network_input(labeled["images"])
    perturbed = network_input(unlabeled["images"])
    mixed = cutmix(*_pairs(perturbed, unlabeled), unlabeled["box"])
    disparity, tokens = model.predict_with_tokens(torch.cat([clean, mixed]), alignment.block)
    count = len(clean)
    on_features, active = feature_alignment_loss(
        tokens[count:], _frozen_tokens(frozen, mixed, alignment.block), alignment.alpha, alignment.normaliser
    )
    return {
        **label_losses(disparity[:count], labeled, gradient_matching),
        "pseudo_label": cutmix_loss(disparity[count:], *_pseudo_labels(unlabeled), unlabeled["box"], trim),
        "feature_alignment": on_features,
        "feature_alignment/active_fraction": active,
        "unusable_targets": labeled["unusable"] + unlabeled["unusable"],
        **prediction_health(disparity),
    }


def student_weights(gradient_matching: float) -> dict[str, float]:
    """Return the weights of the losses: the average of the three on labels, pseudo labels and features (paper 3.3)."""
    weights = label_weights(gradient_matching) | {"pseudo_label": 1.0, "feature_alignment": 1.0}
    return {name: weight / 3 for name, weight in weights.items()}


def student_counts(batch: Batch) -> dict[str, Tensor | float]:
    """Return over how many images each mean of `student_loss` is."""
    labeled, unlabeled = batch["labeled"], batch["unlabeled"]
    images = len(unlabeled["box"])
    return {
        **label_counts(labeled),
        "pseudo_label": informative_mixes(*_pseudo_labels(unlabeled), unlabeled["box"]).sum(),
        "feature_alignment": images,
        "feature_alignment/active_fraction": images,
        **health_counts(len(labeled["images"]) + images),
    }


def _pairs(values: Tensor, unlabeled: Batch) -> tuple[Tensor, Tensor]:
    """Return u_a and u_b: the `values` of each image that counts, and of its partner."""
    return values[: len(unlabeled["partner"])], values[unlabeled["partner"]]


def _pseudo_labels(unlabeled: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return *_pairs(unlabeled["disparity"], unlabeled), *_pairs(unlabeled["valid"], unlabeled)


def _frozen_tokens(frozen: Encoder, images: Tensor, block: int) -> Tensor:
    with torch.inference_mode():
        tokens = frozen(images, [block])[0]
    return tokens.clone()  # outside inference mode, so that the loss may keep it for its backward pass
