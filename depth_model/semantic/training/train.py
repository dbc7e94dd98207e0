"""Fine-tuning to semantic segmentation (paper 4.4): the depth model's encoder with a head of classes.

As the released configuration does it (docs/paper.md 6): AdamW with a tenth of the rate for the encoder, linear
warm-up, then linear decay to 0, hard clipping. A linear head learns by cross entropy, Mask2Former by matching.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from depth_model.encoders.any_encoder import any_encoder
from depth_model.semantic.classes import IGNORE, ClassList
from depth_model.semantic.heads.mask2former import (
    LOSS_WEIGHTS,
    NO_OBJECT_WEIGHT,
    Mask2FormerSettings,
    present_classes,
    query_criterion,
    query_losses,
)
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.training.batches import semantic_batch
from depth_model.shards.pool import SamplePool
from depth_model.training.batches import Batch, network_input
from depth_model.training.history import History
from depth_model.training.loop import LoopSettings, OnMetrics, Run, train
from depth_model.training.optimizers import adamw
from depth_model.training.processes import best_device
from depth_model.training.start import check_shares

START = 1e-6
"""Of the base rate, where the warm-up begins."""


@dataclass(frozen=True)
class SemanticSettings:
    """`head`: "linear", or the sizes of a Mask2Former. `side` of the crops in pixels; number of steps and of images in
    each; `learning_rate` is the head's, divided by `reduction` for the encoder; steps of `warmup`; `gradient_clip` the
    largest gradient norm."""

    head: str | Mask2FormerSettings
    side: int
    iterations: int
    batch: int
    learning_rate: float
    reduction: float
    weight_decay: float
    warmup: int
    gradient_clip: float


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
) -> tuple[Segmentation, History]:
    """Fine-tune to segmentation on the labelled samples of `pool`, from an encoder of `size`.

    `weights` is anything that `any_encoder` takes. Continues from the checkpoints in `scratch`. Raises what
    `depth_model.training.loop.train`, `any_encoder` and `Segmentation` raise.
    """
    check_shares("batch", settings.batch, loop.accumulation)
    encoder = any_encoder(size, weights, seed)
    model = Segmentation(encoder, classes, settings.head, settings.side, seed).to(best_device())
    loss, counts, loss_weights = _objective(model, settings.head)
    run = Run(
        name=f"semantic {classes.name}",
        model=model,
        optimizer=adamw(
            model, settings.learning_rate / settings.reduction, settings.learning_rate, settings.weight_decay
        ),
        schedule=partial(warm_then_linear, settings.warmup),
        steps=settings.iterations,
        images_per_step=settings.batch,
        make_batch=partial(semantic_batch, pool, seed, settings.batch, settings.side, len(classes)),
        loss=loss,
        weights=loss_weights,
        counts=counts,
        gradient_clip=settings.gradient_clip,
    )
    return model, train(run, loop, scratch, on_metrics)


def warm_then_linear(warmup: int, group: Mapping[str, Any], step: int, total: int) -> dict[str, float]:
    """Return the rate of a group at `step`: up from 1e-6 of its base during `warmup` steps, then linearly to 0.

    The decay is mmengine's polynomial of power 1 over what follows the warm-up.
    """
    if step < warmup:
        return {"lr": group["base_lr"] * (START + (1 - START) * step / warmup)}
    return {"lr": group["base_lr"] * (1 - (step - warmup) / (total - warmup))}


_Loss = Callable[[Batch], dict[str, Tensor]]
_Counts = Callable[[Batch], dict[str, Tensor | float]]


def _objective(model: Segmentation, head: str | Mask2FormerSettings) -> tuple[_Loss, _Counts, dict[str, float]]:
    if isinstance(head, Mask2FormerSettings):
        criterion = query_criterion(len(model.classes), head).to(best_device())
        return partial(mask_loss, model, criterion), partial(mask_counts, head.queries), LOSS_WEIGHTS
    return partial(pixel_loss, model), pixel_counts, {"cross_entropy": 1.0}


def pixel_loss(model: Segmentation, batch: Batch) -> dict[str, Tensor]:
    """Return the mean cross entropy over the labelled pixels, and the share of them that are right."""
    labels = batch["labels"].long()
    scores = model(network_input(batch["images"]))
    labelled = (labels != IGNORE).sum().clamp_min(1)
    loss = functional.cross_entropy(scores, labels, ignore_index=IGNORE, reduction="sum") / labelled
    with torch.no_grad():
        right = ((scores.argmax(1) == labels).sum() / labelled).float()
    return {"cross_entropy": loss, "pixel_accuracy": right}


def pixel_counts(batch: Batch) -> dict[str, Tensor | float]:
    """Return over how many pixels the means of `pixel_loss` are."""
    labelled = float((batch["labels"] != IGNORE).sum())
    return {"cross_entropy": labelled, "pixel_accuracy": labelled}


def mask_loss(model: Segmentation, criterion: torch.nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return the losses of `query_losses` on a batch."""
    return query_losses(model.output(network_input(batch["images"])), batch["labels"], criterion, batch["points_seed"])


def mask_counts(queries: int, batch: Batch) -> dict[str, Tensor | float]:
    """Return the weights that the means of `mask_loss` have: masks, and matched and other queries by their weight."""
    pictures = len(batch["labels"])
    masks = float(present_classes(batch["labels"]).sum())
    return {"class": masks + NO_OBJECT_WEIGHT * (pictures * queries - masks), "mask": masks, "dice": masks}
