"""Fine-tuning to semantic segmentation (paper 4.4): the depth model's encoder with a head of classes.

As the released configuration does it (docs/paper.md 6): AdamW with a tenth of the rate for the encoder, linear
warm-up, then linear decay to 0, hard clipping. A linear head learns by cross entropy, Mask2Former by matching.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depth_model.encoders.any_encoder import AnyEncoder, any_encoder
from depth_model.encoders.midas import is_midas
from depth_model.encoders.own_decoder import OwnPyramid, read_whole
from depth_model.metrics.depth import Metric
from depth_model.metrics.segmentation import confusion_matrix, mean_iou
from depth_model.networks import BadCheckpoint
from depth_model.semantic.classes import IGNORE, ClassList
from depth_model.semantic.heads.mask2former import (
    LOSS_WEIGHTS,
    NO_OBJECT_WEIGHT,
    present_classes,
    query_criterion,
    query_losses,
)
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.heads.settings import Mask2FormerSettings
from depth_model.semantic.training.batches import labeled_share, semantic_batch, whole_image
from depth_model.semantic.training.settings import SemanticSettings
from depth_model.shards.pool import SamplePool
from depth_model.training.batches import Batch, network_input
from depth_model.training.collapse import check_labels
from depth_model.training.history import History
from depth_model.training.loop import OnMetrics, Run, train
from depth_model.training.optimizers import adamw
from depth_model.training.processes import best_device
from depth_model.training.settings import LoopSettings, TrainingMachine
from depth_model.training.start import check_shares
from depth_model.training.terms import Term
from depth_model.training.validation import HeldOut, Validation

MIOU = Metric("miou", "mIoU", True)
START = 1e-6
"""Of the base rate, where the warm-up begins."""


def train_semantic(
    pool: SamplePool,
    weights: str,
    size: str,
    classes: ClassList,
    settings: SemanticSettings,
    loop: LoopSettings,
    seed: int,
    scratch: Path,
    on_metrics: OnMetrics,
    machine: TrainingMachine = TrainingMachine(),
    held_out: HeldOut | None = None,
) -> tuple[Segmentation, History]:
    """Fine-tune to segmentation on the labeled samples of `pool`, from an encoder of `size`.

    `weights` is anything that `any_encoder` takes, with `start` "all" a folder of MiDaS or ZoeDepth. The model is
    measured on `held_out` samples, if given. Continues from the checkpoints in `scratch`. Raises what
    `depth_model.training.loop.train`, `initial_encoder` and `Segmentation` raise, and UserError where hardly a pixel
    has a class.
    """
    check_shares("batch", settings.batch, loop.accumulation)
    name = f"semantic {classes.name}"
    check_labels(
        name, len(pool), partial(labeled_share, pool, len(classes)), f"do the labels use the numbers of {classes.name}?"
    )
    encoder = initial_encoder(size, weights, settings.start, seed)
    model = Segmentation(encoder, classes, settings.chosen_head, settings.crop, seed).to(best_device())
    forward, terms = _objective(model, settings.chosen_head)
    run = Run(
        name=name,
        model=model,
        optimizer=adamw(
            model, settings.learning_rate / settings.reduction, settings.learning_rate, settings.weight_decay
        ),
        schedule=partial(warm_then_linear, settings.warmup),
        steps=settings.iterations,
        images_per_step=settings.batch,
        make_batch=partial(semantic_batch, pool, seed, settings.batch, settings.crop, len(classes)),
        forward=forward,
        terms=terms,
        gradient_clip=settings.gradient_clip,
        validation=semantic_validation(held_out, settings.crop, encoder.patch, len(classes)),
    )
    return model, train(run, loop, scratch, on_metrics, machine)


def initial_encoder(size: str, weights: str, start: str, seed: int = 0) -> AnyEncoder:
    """Return the encoder that fine-tuning starts from, as `start` of the settings says; raises what `any_encoder` and
    `read_whole` raise, and BadCheckpoint for a decoder that is neither MiDaS's nor ZoeDepth's."""
    if start == "encoder":
        return any_encoder(size, weights, seed)
    if not is_midas(weights):
        raise BadCheckpoint(f"{weights}: start: all is for the decoders of MiDaS and ZoeDepth; set start: encoder")
    return OwnPyramid(size, read_whole(weights))


def semantic_validation(held_out: HeldOut | None, side: int, patch: int, classes: int) -> Validation | None:
    """Return how a segmentation model is measured on `held_out`, whole images of shorter side `side`: mIoU over all
    their pixels; None without any."""
    if held_out is None:
        return None
    return Validation(
        images=len(held_out.pool),
        make=partial(whole_image, held_out.pool, side, patch, classes),
        score=semantic_score,
        sums=classes**2,
        figures=_miou,
        decides=MIOU,
        settings=held_out.settings,
    )


def semantic_score(model: Segmentation, batch: Batch) -> np.ndarray:
    """Return the confusion matrix of one image, float64 (C * C,)."""
    found = model(network_input(batch["images"]))[0].argmax(0)
    matrix = confusion_matrix(found.cpu().numpy(), batch["labels"].cpu().numpy(), len(model.classes))
    return matrix.ravel().astype(np.float64)


def _miou(sums: np.ndarray) -> dict[str, float]:
    side = math.isqrt(sums.size)
    return {MIOU.key: mean_iou(sums.reshape(side, side)) if sums.sum() else math.nan}


def warm_then_linear(warmup: int, group: Mapping[str, Any], step: int, total: int) -> dict[str, float]:
    """Return the rate of a group at `step`: up from 1e-6 of its base during `warmup` steps, then linearly to 0.

    The decay is mmengine's polynomial of power 1 over what follows the warm-up.
    """
    if step < warmup:
        return {"lr": group["base_lr"] * (START + (1 - START) * step / warmup)}
    return {"lr": group["base_lr"] * (1 - (step - warmup) / (total - warmup))}


def _objective(model: Segmentation, head: str | Mask2FormerSettings) -> tuple[Callable[[Batch], Any], list[Term]]:
    if isinstance(head, Mask2FormerSettings):
        criterion = query_criterion(len(model.classes), head).to(best_device())
        return partial(mask_output, model, criterion), mask_terms(head.queries)
    return partial(pixel_output, model), pixel_terms()


def pixel_output(model: Segmentation, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the scores of the classes, (B, C, H, W), and the labels, int64 (B, H, W)."""
    return model(network_input(batch["images"])), batch["labels"].long()


def pixel_terms() -> list[Term]:
    """Return the mean cross entropy over the labeled pixels, and the share of them that are right."""

    def labeled(batch: Batch) -> Tensor:
        return (batch["labels"] != IGNORE).sum()

    return [
        Term("cross_entropy", lambda output: _cross_entropy(*output), labeled, 1.0),
        Term("pixel_accuracy", lambda output: _accuracy(*output), labeled),
    ]


def _cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(scores, labels, ignore_index=IGNORE, reduction="sum") / _labeled_pixels(labels)


def _accuracy(scores: Tensor, labels: Tensor) -> Tensor:
    return ((scores.argmax(1) == labels).sum() / _labeled_pixels(labels)).float()


def _labeled_pixels(labels: Tensor) -> Tensor:
    return (labels != IGNORE).sum().clamp_min(1)


def mask_output(model: Segmentation, criterion: torch.nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return the losses of `query_losses` on a batch by name."""
    return query_losses(model.output(network_input(batch["images"])), batch["labels"], criterion, batch["points_seed"])


def mask_terms(queries: int) -> list[Term]:
    """Return the losses of Mask2Former: means over masks, and over matched and other queries by their weight."""

    def masks(batch: Batch) -> Tensor:
        return present_classes(batch["labels"]).sum()

    def weighted_queries(batch: Batch) -> float:
        matched = float(masks(batch))
        return matched + NO_OBJECT_WEIGHT * (len(batch["labels"]) * queries - matched)

    counts = {"class": weighted_queries, "mask": masks, "dice": masks}
    return [Term(name, itemgetter(name), counts[name], weight) for name, weight in LOSS_WEIGHTS.items()]
