"""The student (paper 3.2 and 3.3): learned from labeled and pseudo-labeled images with a frozen encoder beside it.

Every step takes labeled and unlabeled images (paper: 1:2) through the network in one pass and minimizes the
average of three losses: on the labels, on the pseudo labels of strongly perturbed images, and for the encoder's
features. The student starts from the pre-trained encoder, not from the teacher, and its decoder, the order of its
labeled images and their crops are drawn apart from the teacher's, so that both do not share what chance did to one;
or from a whole model (`settings.initial`), whose encoder then is the frozen one. Without labels it learns from pseudo
labels alone: the teacher is distilled. Where the auxiliary task is asked for (`settings.auxiliary_semantics`), a second
decoder learns the classes of the unlabeled images from the same tokens; it is dropped at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path

import torch
from torch import Tensor

from depth_model.errors import UserError
from depth_model.networks import DepthAnything, Encoder, frozen_encoder
from depth_model.networks.class_decoder import ClassDecoder
from depth_model.networks.encoder import patch_grid
from depth_model.networks.variants import VARIANTS
from depth_model.objectives import (
    class_loss,
    cutmix,
    cutmix_loss,
    feature_alignment_loss,
    informative_mixes,
    labeled_images,
)
from depth_model.shards.pool import SamplePool
from depth_model.training.batches import Batch, labeled_batch, network_input, unlabeled_batch
from depth_model.training.collapse import CONSTANT_LOSS, check_distilled, check_learned, health_terms, unhealthy
from depth_model.training.history import History
from depth_model.training.loop import OnMetrics, Run, train
from depth_model.training.optimizers import adamw, linear_decay
from depth_model.training.processes import best_device
from depth_model.training.relative_validation import relative_validation
from depth_model.training.sampling import WHOLE, Share, stage_seed, steps_of
from depth_model.training.settings import ENCODER, FeatureAlignment, StudentSettings, TrainingMachine, TrainingSettings
from depth_model.training.start import Seen, anchor_terms, check_shares, initial_model, label_terms, unusable_term
from depth_model.training.terms import Term
from depth_model.training.validation import HeldOut


def train_student(
    labeled: SamplePool | None,
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

    Student and frozen encoder both start from encoder `weights`, or from that of `settings.initial`. `labeled` None:
    from pseudo labels alone, and `labeled_per_batch` counts as 0. It is measured on `held_out` labeled samples, if
    given. Everything random is drawn from `seed` and the name of the stage. Continues from the checkpoints in
    `scratch`.
    Raises UserError when the result is no better than a constant, and what
    `depth_model.training.loop.train` and `initial_model` raise.
    """
    _check(settings, alignment, training.accumulation, labeled is not None)
    if settings.auxiliary_semantics and not unlabeled.classes:
        raise UserError(
            f"student.auxiliary_semantics = {settings.auxiliary_semantics:g}: no map of class_map has a class"
        )
    seed = stage_seed(seed, "student")
    model = initial_model("student", settings, weights, seed, training, machine)
    frozen = _frozen(model, settings, weights, seed)
    if machine.compile:
        frozen.compile()
    if settings.auxiliary_semantics:  # a part of the model while it learns
        row, own = VARIANTS[settings.encoder], stage_seed(seed, "auxiliary")
        model.auxiliary = ClassDecoder(row, unlabeled.classes, own, model.encoder.patch).to(best_device())
    rates = settings.encoder_learning_rate, settings.decoder_learning_rate
    run = Run(
        name="student",
        model=model,
        optimizer=adamw(model, *rates, training.weight_decay),
        schedule=partial(linear_decay, training.warmup),
        steps=steps_of(settings.epochs, len(unlabeled), settings.unlabeled_per_batch),
        images_per_step=(
            settings.labeled_per_batch * (labeled is not None) + settings.unlabeled_per_batch * settings.pseudo_labels
        ),
        make_batch=partial(student_batch, labeled, unlabeled, settings, training.crop, seed),
        forward=partial(student_output, model, frozen, alignment),
        terms=[
            *student_terms(
                settings.trim,
                training,
                settings.pseudo_labels,
                alignment.images,
                labeled is not None,
                settings.auxiliary_semantics,
            ),
            *anchor_terms(model, settings.initial, training.anchor, _all_images),
        ],
        gradient_clip=training.gradient_clip,
        unhealthy=unhealthy,
        ema=settings.ema,
        validation=relative_validation(held_out, training.crop, model.encoder.patch),
    )
    history = train(run, training, scratch, on_metrics, machine)
    if settings.auxiliary_semantics:
        del model.auxiliary
    (check_distilled if labeled is None else check_learned)("student", history)
    return model, history


def _frozen(model: DepthAnything, settings: StudentSettings, weights: str, seed: int) -> Encoder:
    """Return the encoder that the features of `model`, which learned nothing yet, are held near."""
    if settings.initial == ENCODER:
        return frozen_encoder(settings.encoder, weights, seed).to(best_device())
    return deepcopy(model.encoder).requires_grad_(False).eval()


def _check(settings: StudentSettings, alignment: FeatureAlignment, accumulation: int, labels: bool) -> None:
    """Raise UserError for shares too small and for nothing to learn from, ValueError for alignment on images that no
    step takes."""
    if not labels and not (settings.pseudo_labels and alignment.images != "labeled"):
        key = "feature_alignment.images = 'labeled'" if settings.pseudo_labels else "student.pseudo_labels = false"
        raise UserError(f"{key}: there are no labeled images; name a source in sources.labeled, or change it")
    if settings.pseudo_labels:
        check_shares("student.unlabeled_per_batch", settings.unlabeled_per_batch, accumulation)
    elif alignment.images == "unlabeled":
        raise ValueError("without pseudo labels there are no unlabeled images to align features on")
    if alignment.images == "labeled" or not settings.pseudo_labels:
        check_shares("student.labeled_per_batch", settings.labeled_per_batch, accumulation)


def student_batch(
    labeled: SamplePool | None,
    unlabeled: SamplePool,
    settings: StudentSettings,
    side: int,
    seed: int,
    step: int,
    share: Share = WHOLE,
) -> Batch:
    """Return a share of the parts of batch `step`: `labeled`, where there are labels, and, with pseudo labels,
    `unlabeled` (see `depth_model.training.batches`)."""
    batch = {}
    if labeled is not None:
        batch["labeled"] = labeled_batch(labeled, seed, settings.labeled_per_batch, side, step, share)
    if settings.pseudo_labels:
        count = settings.unlabeled_per_batch
        batch["unlabeled"] = unlabeled_batch(unlabeled, seed, count, side, settings.perturbation, step, share)
    return batch


def student_output(model: DepthAnything, frozen: Encoder, alignment: FeatureAlignment, batch: Batch) -> Seen:
    """Return what the network makes of a student batch, with the loss on features unless they are aligned nowhere.

    CutMix pastes a box of each perturbed image into its neighbor in the batch (equation 5). The frozen encoder sees
    what the student sees, so that tokens correspond.
    """
    labeled, unlabeled, images = batch.get("labeled"), batch.get("unlabeled"), {}
    if labeled is not None:
        images["labeled"] = network_input(labeled["images"])
    if unlabeled is not None:
        images["unlabeled"] = cutmix(*_pairs(network_input(unlabeled["images"]), unlabeled), unlabeled["box"])
    count = len(images.get("labeled", ()))
    seen = torch.cat(list(images.values()))
    aligned, grid = alignment.images != "none", patch_grid(seen, model.encoder.patch)
    tokens = model.encoder(seen, [*model.blocks, *([alignment.block] if aligned else [])])
    disparity, features, classes = model.of_tokens(tokens[:4], *grid), None, None
    if aligned:
        fixed = _frozen_tokens(frozen, images[alignment.images], alignment.block)
        ours = tokens[4][:count] if alignment.images == "labeled" else tokens[4][count:]
        features = feature_alignment_loss(ours, fixed, alignment.alpha, alignment.normalizer)
    if unlabeled is not None and "classes" in unlabeled:
        logits = model.auxiliary([one[count:] for one in tokens[:4]], *grid)
        classes = logits, _mixed_classes(unlabeled)
    return Seen(disparity, disparity[:count], labeled, unlabeled, features, classes)


def student_terms(
    trim: float,
    training: TrainingSettings,
    pseudo_labels: bool = True,
    aligned: str = "unlabeled",
    labels: bool = True,
    semantics: float = 0.0,
) -> list[Term]:
    """Return the losses, whose average the student minimizes: on labels, pseudo labels and features (paper 3.3), or
    those of them that an ablation leaves, or that there are without `labels`; and what is watched beside them. Features
    are those of `aligned` images. The loss on classes joins the average with the weight `semantics`, if not 0."""
    on_aligned = partial(_image_count, (aligned,))
    others = []
    if pseudo_labels:
        others.append(Term("pseudo_label", partial(_on_pseudo_labels, trim), _informative_mixes, 1.0))
    if aligned != "none":
        others.append(Term("feature_alignment", lambda seen: seen.features[0], on_aligned, 1.0))
    if semantics:
        others.append(Term("auxiliary_semantics", lambda seen: class_loss(*seen.classes), _classified, semantics))
    losses = [*(label_terms(itemgetter("labeled"), training) if labels else ()), *others]
    watched = [unusable_term(), *health_terms(_all_images)]
    if not labels:
        watched.append(Term(CONSTANT_LOSS, partial(_of_a_constant, trim), _informative_mixes))
    if aligned != "none":
        watched.append(Term("feature_alignment/active_fraction", lambda seen: seen.features[1], on_aligned))
    return [*(replace(term, weight=term.weight / (labels + len(others))) for term in losses), *watched]


def _on_pseudo_labels(trim: float, seen: Seen) -> Tensor:
    """Equations 5 to 8: the targets are the pseudo labels of both clean images of a mixed one."""
    mixed = seen.disparity[len(seen.on_labeled) :]
    return cutmix_loss(mixed, *_pseudo_labels(seen.unlabeled), seen.unlabeled["box"], trim)


def _of_a_constant(trim: float, seen: Seen) -> Tensor:
    """Return what the loss on pseudo labels would be if the network said nothing."""
    mixed = torch.zeros_like(seen.disparity[len(seen.on_labeled) :])
    return cutmix_loss(mixed, *_pseudo_labels(seen.unlabeled), seen.unlabeled["box"], trim)


def _mixed_classes(unlabeled: Batch) -> Tensor:
    """Return the classes, uint8 (B, S, S), of what CutMix made of the images."""
    return torch.where(unlabeled["box"], *_pairs(unlabeled["classes"], unlabeled))


def _classified(batch: Batch) -> Tensor:
    return labeled_images(_mixed_classes(batch["unlabeled"])).sum()


def _informative_mixes(batch: Batch) -> Tensor:
    unlabeled = batch["unlabeled"]
    return informative_mixes(*_pseudo_labels(unlabeled), unlabeled["box"]).sum()


def _image_count(parts: Sequence[str], batch: Batch) -> int:
    """Return how many images the `parts` of a batch have; partners that only lend a region do not count."""
    counted = {"labeled": "images", "unlabeled": "box"}
    return sum(len(batch.get(part, {}).get(counted[part], ())) for part in parts)


_all_images = partial(_image_count, ("labeled", "unlabeled"))


def _pairs(values: Tensor, unlabeled: Batch) -> tuple[Tensor, Tensor]:
    """Return u_a and u_b: the `values` of each image that counts, and of its partner."""
    return values[: len(unlabeled["partner"])], values[unlabeled["partner"]]


def _pseudo_labels(unlabeled: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return *_pairs(unlabeled["disparity"], unlabeled), *_pairs(unlabeled["valid"], unlabeled)


def _frozen_tokens(frozen: Encoder, images: Tensor, block: int) -> Tensor:
    with torch.inference_mode():
        tokens = frozen(images, [block])[0]
    return tokens.clone()  # outside inference mode, so that the loss may keep it for its backward pass
