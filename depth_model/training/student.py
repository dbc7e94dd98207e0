"""The student (paper 3.2 and 3.3): learned from labeled and pseudo-labeled images with a frozen encoder beside it.

Every step takes labeled and unlabeled images (paper: 1:2) through the network in one pass and minimizes the
average of three losses: on the labels, on the pseudo labels of strongly perturbed images, and for the encoder's
features. The student starts from the pre-trained encoder, not from the teacher, and its decoder, the order of its
labeled images and their crops are drawn apart from the teacher's, so that both do not share what chance did to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path

import torch
from torch import Tensor

from depth_model.networks import DepthAnything, Encoder, frozen_encoder
from depth_model.objectives import cutmix, cutmix_loss, feature_alignment_loss, informative_mixes
from depth_model.shards.pool import SamplePool
from depth_model.training.batches import Batch, labeled_batch, network_input, unlabeled_batch
from depth_model.training.collapse import check_learned, health_terms, unhealthy
from depth_model.training.history import History
from depth_model.training.loop import OnMetrics, Run, train
from depth_model.training.optimizers import adamw, linear_decay
from depth_model.training.processes import best_device
from depth_model.training.relative_validation import relative_validation
from depth_model.training.sampling import WHOLE, Share, stage_seed, steps_of
from depth_model.training.settings import FeatureAlignment, StudentSettings, TrainingMachine, TrainingSettings
from depth_model.training.start import Seen, check_shares, initial_model, label_terms, unusable_term
from depth_model.training.terms import Term
from depth_model.training.validation import HeldOut


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
    machine: TrainingMachine = TrainingMachine(),
    held_out: HeldOut | None = None,
) -> tuple[DepthAnything, History]:
    """Learn the student from `labeled` and the pseudo-labeled `unlabeled` samples (paper 3.2 and 3.3).

    Student and frozen encoder both start from encoder `weights`. It is measured on `held_out` labeled samples, if
    given. Everything random is drawn from `seed` and the name of the stage. Continues from the checkpoints in
    `scratch`. Raises UserError when the result is no better than a constant, and what
    `depth_model.training.loop.train` and `DepthAnything` raise.
    """
    _check(settings, alignment, training.accumulation)
    seed = stage_seed(seed, "student")
    model = initial_model(settings.encoder, weights, seed, training, machine)
    frozen = frozen_encoder(settings.encoder, weights, seed).to(best_device())
    if machine.compile:
        frozen.compile()
    rates = settings.encoder_learning_rate, settings.decoder_learning_rate
    run = Run(
        name="student",
        model=model,
        optimizer=adamw(model, *rates, training.weight_decay),
        schedule=partial(linear_decay, training.warmup),
        steps=steps_of(settings.epochs, len(unlabeled), settings.unlabeled_per_batch),
        images_per_step=settings.labeled_per_batch + settings.unlabeled_per_batch * settings.pseudo_labels,
        make_batch=partial(student_batch, labeled, unlabeled, settings, training.crop, seed),
        forward=partial(student_output, model, frozen, alignment),
        terms=student_terms(settings.trim, training, settings.pseudo_labels, alignment.images),
        gradient_clip=training.gradient_clip,
        unhealthy=unhealthy,
        ema=settings.ema,
        validation=relative_validation(held_out, training.crop, model.encoder.patch),
    )
    history = train(run, training, scratch, on_metrics, machine)
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


def student_output(model: DepthAnything, frozen: Encoder, alignment: FeatureAlignment, batch: Batch) -> Seen:
    """Return what the network makes of a student batch, with the loss on features unless they are aligned nowhere.

    CutMix pastes a box of each perturbed image into its neighbor in the batch (equation 5). The frozen encoder sees
    what the student sees, so that tokens correspond.
    """
    labeled, unlabeled = batch["labeled"], batch.get("unlabeled")
    images = {"labeled": network_input(labeled["images"])}
    if unlabeled is not None:
        images["unlabeled"] = cutmix(*_pairs(network_input(unlabeled["images"]), unlabeled), unlabeled["box"])
    count = len(images["labeled"])
    seen = torch.cat(list(images.values()))
    if alignment.images == "none":
        disparity = model(seen)
        return Seen(disparity, disparity[:count], labeled, unlabeled)
    disparity, tokens = model.predict_with_tokens(seen, alignment.block)
    fixed = _frozen_tokens(frozen, images[alignment.images], alignment.block)
    ours = tokens[:count] if alignment.images == "labeled" else tokens[count:]
    features = feature_alignment_loss(ours, fixed, alignment.alpha, alignment.normalizer)
    return Seen(disparity, disparity[:count], labeled, unlabeled, features)


def student_terms(
    trim: float, training: TrainingSettings, pseudo_labels: bool = True, aligned: str = "unlabeled"
) -> list[Term]:
    """Return the losses, whose average the student minimizes: on labels, pseudo labels and features (paper 3.3), or
    those of them that an ablation leaves; and what is watched beside them. Features are those of `aligned` images."""
    on_aligned = partial(_image_count, (aligned,))
    others = []
    if pseudo_labels:
        others.append(Term("pseudo_label", partial(_on_pseudo_labels, trim), _informative_mixes, 1.0))
    if aligned != "none":
        others.append(Term("feature_alignment", lambda seen: seen.features[0], on_aligned, 1.0))
    losses = [*label_terms(itemgetter("labeled"), training), *others]
    watched = [unusable_term(), *health_terms(partial(_image_count, ("labeled", "unlabeled")))]
    if aligned != "none":
        watched.append(Term("feature_alignment/active_fraction", lambda seen: seen.features[1], on_aligned))
    return [*(replace(term, weight=term.weight / (1 + len(others))) for term in losses), *watched]


def _on_pseudo_labels(trim: float, seen: Seen) -> Tensor:
    """Equations 5 to 8: the targets are the pseudo labels of both clean images of a mixed one."""
    mixed = seen.disparity[len(seen.on_labeled) :]
    return cutmix_loss(mixed, *_pseudo_labels(seen.unlabeled), seen.unlabeled["box"], trim)


def _informative_mixes(batch: Batch) -> Tensor:
    unlabeled = batch["unlabeled"]
    return informative_mixes(*_pseudo_labels(unlabeled), unlabeled["box"]).sum()


def _image_count(parts: Sequence[str], batch: Batch) -> int:
    """Return how many images the `parts` of a batch have; partners that only lend a region do not count."""
    counts = {"labeled": len(batch["labeled"]["images"]), "unlabeled": len(batch.get("unlabeled", {}).get("box", ()))}
    return sum(counts[part] for part in parts)


def _pairs(values: Tensor, unlabeled: Batch) -> tuple[Tensor, Tensor]:
    """Return u_a and u_b: the `values` of each image that counts, and of its partner."""
    return values[: len(unlabeled["partner"])], values[unlabeled["partner"]]


def _pseudo_labels(unlabeled: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return *_pairs(unlabeled["disparity"], unlabeled), *_pairs(unlabeled["valid"], unlabeled)


def _frozen_tokens(frozen: Encoder, images: Tensor, block: int) -> Tensor:
    with torch.inference_mode():
        tokens = frozen(images, [block])[0]
    return tokens.clone()  # outside inference mode, so that the loss may keep it for its backward pass
