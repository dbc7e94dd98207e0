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

from depth_model.networks import DepthAnything, Encoder, frozen_encoder
from depth_model.objectives import cutmix, cutmix_loss, feature_alignment_loss, informative_mixes
from depth_model.shards.pool import SamplePool
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
    largest residuals left out on pseudo labels, the strong perturbation, the decay of the average of the weights (0:
    none), and whether there are pseudo labels at all: without, each step takes its labelled images alone."""

    encoder: str
    sweeps: float
    labeled_per_batch: int
    unlabeled_per_batch: int
    encoder_learning_rate: float
    decoder_learning_rate: float
    trim: float
    perturbation: Perturbation
    ema: float = 0.0
    pseudo_labels: bool = True


@dataclass(frozen=True)
class FeatureAlignment:
    """Tolerance alpha (equation 9), the block (0-based) whose tokens are compared, the normaliser, and the images that
    alignment is applied to (paper: the unlabelled; Table 13 compares)."""

    alpha: float
    block: int
    normaliser: Literal["remaining", "all"]
    images: Literal["unlabeled", "labeled", "none"] = "unlabeled"


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
    Raises UserError when the result is no better than a constant, and what
    `depth_model.training.loop.train` and `DepthAnything` raise.
    """
    _check(settings, alignment, training.accumulation)
    model = initial_model(settings.encoder, weights, seed, training)
    frozen = frozen_encoder(settings.encoder, weights, seed).to(best_device())
    rates = settings.encoder_learning_rate, settings.decoder_learning_rate
    run = Run(
        name="student",
        model=model,
        optimizer=adamw(model, *rates, training.weight_decay),
        schedule=partial(linear_decay, training.warmup),
        steps=steps_of(settings.sweeps, len(unlabeled), settings.unlabeled_per_batch),
        images_per_step=settings.labeled_per_batch + settings.unlabeled_per_batch * settings.pseudo_labels,
        make_batch=partial(student_batch, labeled, unlabeled, settings, training.crop, seed),
        loss=partial(student_loss, model, frozen, settings.trim, alignment, training.gradient_matching),
        weights=student_weights(training.gradient_matching, settings.pseudo_labels, alignment.images),
        counts=partial(student_counts, alignment.images),
        gradient_clip=training.gradient_clip,
        ailing=ailing,
        ema=settings.ema,
    )
    history = train(run, training, scratch, on_metrics)
    check_learned("student", history)
    return model, history


def _check(settings: StudentSettings, alignment: FeatureAlignment, accumulation: int) -> None:
    """Raise UserError for shares too small, ValueError for alignment on images that no step takes."""
    if settings.pseudo_labels:
        check_shares("student.unlabeled_per_batch", settings.unlabeled_per_batch, accumulation)
    elif alignment.images == "unlabeled":
        raise ValueError("without pseudo labels there are no unlabeled images to align features on")
    if alignment.images == "labeled" or not settings.pseudo_labels:
        check_shares("student.labeled_per_batch", settings.labeled_per_batch, accumulation)


def student_batch(
    labeled: SamplePool,
    unlabeled: SamplePool,
    settings: StudentSettings,
    side: int,
    seed: int,
    step: int,
    share: Share = WHOLE,
) -> Batch:
    """Return a share of the parts of batch `step`: `labeled` and, with pseudo labels, `unlabeled` (see
    `depth_model.training.batches`)."""
    batch = {"labeled": labeled_batch(labeled, seed, settings.labeled_per_batch, side, step, share)}
    if settings.pseudo_labels:
        count = settings.unlabeled_per_batch
        batch["unlabeled"] = unlabeled_batch(unlabeled, seed, count, side, settings.perturbation, step, share)
    return batch


def student_loss(
    model: DepthAnything,
    frozen: Encoder,
    trim: float,
    alignment: FeatureAlignment,
    gradient_matching: float,
    batch: Batch,
) -> dict[str, Tensor]:
    """Return the losses of a student batch: on labels, on pseudo labels if it has any, on features unless nowhere.

    CutMix pastes a box of each perturbed image into its neighbour in the batch; the targets are the pseudo labels
    of both clean images (equations 5 to 8). The frozen encoder sees what the student sees, so that tokens correspond.
    """
    labeled, unlabeled = batch["labeled"], batch.get("unlabeled")
    images = {"labeled": network_input(labeled["images"])}
    if unlabeled is not None:
        images["unlabeled"] = cutmix(*_pairs(network_input(unlabeled["images"]), unlabeled), unlabeled["box"])
    count = len(images["labeled"])
    rows = {"labeled": slice(count), "unlabeled": slice(count, None)}
    seen = torch.cat(list(images.values()))
    terms: dict[str, Tensor] = {"unusable_targets": labeled["unusable"]}
    if alignment.images == "none":
        disparity = model(seen)
    else:
        disparity, tokens = model.predict_with_tokens(seen, alignment.block)
        fixed = _frozen_tokens(frozen, images[alignment.images], alignment.block)
        ours = tokens[rows[alignment.images]]
        on_features, active = feature_alignment_loss(ours, fixed, alignment.alpha, alignment.normaliser)
        terms |= {"feature_alignment": on_features, "feature_alignment/active_fraction": active}
    if unlabeled is not None:
        on_pseudo = cutmix_loss(disparity[rows["unlabeled"]], *_pseudo_labels(unlabeled), unlabeled["box"], trim)
        terms |= {"pseudo_label": on_pseudo, "unusable_targets": labeled["unusable"] + unlabeled["unusable"]}
    on_labels = label_losses(disparity[:count], labeled, gradient_matching)
    return {**on_labels, **terms, **prediction_health(disparity)}


def student_weights(
    gradient_matching: float, pseudo_labels: bool = True, aligned: str = "unlabeled"
) -> dict[str, float]:
    """Return the weights of the losses: the average of those on labels, pseudo labels and features (paper 3.3), or of
    those of them that an ablation leaves."""
    terms = ["pseudo_label"] * pseudo_labels + ["feature_alignment"] * (aligned != "none")
    weights = label_weights(gradient_matching) | dict.fromkeys(terms, 1.0)
    return {name: weight / (1 + len(terms)) for name, weight in weights.items()}


def student_counts(aligned: str, batch: Batch) -> dict[str, Tensor | float]:
    """Return over how many images each mean of `student_loss` is; features are compared on the `aligned` images."""
    labeled, unlabeled = batch["labeled"], batch.get("unlabeled")
    images = {"labeled": len(labeled["images"]), "unlabeled": 0 if unlabeled is None else len(unlabeled["box"])}
    counts = label_counts(labeled) | health_counts(sum(images.values()))
    if unlabeled is not None:
        counts["pseudo_label"] = informative_mixes(*_pseudo_labels(unlabeled), unlabeled["box"]).sum()
    if aligned != "none":
        counts |= dict.fromkeys(["feature_alignment", "feature_alignment/active_fraction"], images[aligned])
    return counts


def _pairs(values: Tensor, unlabeled: Batch) -> tuple[Tensor, Tensor]:
    """Return u_a and u_b: the `values` of each image that counts, and of its partner."""
    return values[: len(unlabeled["partner"])], values[unlabeled["partner"]]


def _pseudo_labels(unlabeled: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return *_pairs(unlabeled["disparity"], unlabeled), *_pairs(unlabeled["valid"], unlabeled)


def _frozen_tokens(frozen: Encoder, images: Tensor, block: int) -> Tensor:
    with torch.inference_mode():
        tokens = frozen(images, [block])[0]
    return tokens.clone()  # outside inference mode, so that the loss may keep it for its backward pass
