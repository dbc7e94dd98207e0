"""Metric fine-tuning (paper 4.3): the relative model's encoder with a head that answers in meters.

As the released fine-tuning does it (docs/paper.md 5): the scale-invariant logarithmic loss alone, a tiny rate for
all that was learned before and a fifty times larger one for the new head, one cycle of rate and momentum, and hard
clipping. The recipe of the second Depth Anything (section 10) has another loss and decay, a sigmoid for a head, a
decoder that reads blocks spread over the encoder, and squares of images that keep their aspect ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_model.encoders.midas import is_midas, read_midas
from depth_model.encoders.own_decoder import OwnDecoder, read_whole
from depth_model.metric.heads.metric_depth import MINIMUM, MetricDepth, MidasDepth, midas_depth, own_depth
from depth_model.metric.training.batches import labeled_share, metric_batch, plain_batch
from depth_model.metric.training.settings import MetricSettings
from depth_model.metrics.depth import FEWEST_PIXELS
from depth_model.networks import BadCheckpoint, DepthAnything
from depth_model.networks.preprocessing import normalized
from depth_model.objectives import silog_loss
from depth_model.shards.pool import SamplePool
from depth_model.training.batches import Batch
from depth_model.training.collapse import check_labels
from depth_model.training.history import History
from depth_model.training.loop import OnMetrics, Run, train
from depth_model.training.optimizers import BETAS, fused_adamw
from depth_model.training.processes import best_device
from depth_model.training.sampling import stage_seed, steps_of
from depth_model.training.settings import LoopSettings, TrainingMachine
from depth_model.training.start import check_shares
from depth_model.training.terms import Term
from depth_model.training.validation import DEPTH_SUMS, HeldOut, Validation, depth_sums, depth_validation

LOWEST_MOMENTUM, HIGHEST_MOMENTUM = 0.85, 0.95
RISING_SHARE = 0.7
"""Share of the cycle before the rate falls; it starts at its maximum, so that it is constant until then."""
LAST_FACTOR = 1e-4
POWER = 0.9
"""Of the polynomial decay of the second Depth Anything."""


def train_metric(
    pool: SamplePool,
    relative: str | Path,
    size: str,
    domain: str,
    settings: MetricSettings,
    loop: LoopSettings,
    seed: int,
    scratch: Path,
    on_metrics: OnMetrics,
    machine: TrainingMachine = TrainingMachine(),
    held_out: HeldOut | None = None,
) -> tuple[MetricDepth, History]:
    """Fine-tune to meters on the samples of `pool`, from the relative model or encoder weights `relative`.

    With `start` "encoder", `relative` is anything that `any_encoder` takes, for an encoder of `size`; with "all" a
    whole model. `domain` is noted in the model, which is measured on `held_out` samples, if given; with `seed` it gives
    everything random. Continues from the checkpoints in `scratch`. Raises what `depth_model.training.loop.train`,
    `DepthAnything` and `MetricDepth` raise, and UserError where hardly a pixel has depth in the model's range.
    """
    check_shares("batch", settings.batch, loop.accumulation)
    check_labels(
        f"metric {domain}",
        len(pool),
        partial(labeled_share, pool, settings.maximum),
        f"depth counts between {MINIMUM:g} and {settings.maximum:g} m (maximum): is the unit of the source right?",
    )
    seed = stage_seed(seed, f"metric {domain}")
    model = initial_metric_model(relative, size, domain, settings, seed)
    run = Run(
        name=f"metric {domain}",
        model=model,
        optimizer=fused_adamw(metric_groups(model, settings)),
        schedule=one_cycle if settings.recipe == "paper" else polynomial_decay,
        steps=steps_of(settings.epochs, len(pool), settings.batch),
        images_per_step=settings.batch,
        make_batch=partial(metric_batch, pool, seed, settings.batch, settings, settings.maximum),
        forward=partial(metric_output, model),
        terms=metric_terms("zoedepth" if settings.recipe == "paper" else "second_version"),
        gradient_clip=settings.gradient_clip,
        validation=metric_validation(held_out, settings, model.encoder.patch),
    )
    return model, train(run, loop, scratch, on_metrics, machine)


def initial_metric_model(
    relative: str | Path, size: str, domain: str, settings: MetricSettings, seed: int
) -> MetricDepth:
    """Return the model that fine-tuning starts from, on the device that it is trained on; raises BadCheckpoint for one
    that `settings` does not fit."""
    start = _start(str(relative), size, settings, seed)
    second = settings.recipe == "v2"
    shown = settings.height if second else (settings.height, settings.width)
    head = "sigmoid" if second else "bins"
    return MetricDepth(start, head, settings.maximum, domain, shown, settings.strength, seed).to(best_device())


def _start(relative: str, size: str, settings: MetricSettings, seed: int) -> DepthAnything | MidasDepth:
    second = settings.recipe == "v2"
    if is_midas(relative):
        if second:
            raise BadCheckpoint(f"{relative}: recipe: v2 is for Depth Anything's encoder; set recipe: paper")
        if settings.start == "all":
            return own_depth(size, read_whole(relative))
        return midas_depth(read_midas(relative, size), seed)
    if settings.start == "encoder":
        return DepthAnything(size, relative, seed, version="v2" if second else "v1")
    model = DepthAnything.load(relative)
    if second and model.version != "v2":
        raise BadCheckpoint(f"{relative}: its decoder reads other blocks than recipe: v2; set start: encoder")
    return model


def metric_output(model: MetricDepth, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return predicted depth, labels and which of them are valid, each (B, h, w).

    The prediction is brought to the size of the labels, bilinear with corners aligned.
    """
    depth, valid = batch["depth"], batch["valid"]
    predicted = functional.interpolate(
        model(normalized(batch["images"]))[:, None], size=depth.shape[1:], mode="bilinear", align_corners=True
    )[:, 0]
    return predicted, depth, valid


def metric_validation(held_out: HeldOut | None, settings: MetricSettings, patch: int) -> Validation | None:
    """Return how a metric model is measured on `held_out`, in meters and as it was trained, but for the augmentation;
    None without any."""
    if held_out is None:
        return None
    return depth_validation(
        held_out, partial(plain_batch, held_out.pool, settings, settings.maximum, patch), metric_score
    )


def metric_score(model: MetricDepth, batch: Batch) -> np.ndarray:
    """Return `depth_sums` of one image; zeros for one without enough truth."""
    predicted, depth, valid = (one.cpu().numpy() for one in metric_output(model, batch))
    if np.count_nonzero(valid) < FEWEST_PIXELS:
        return np.zeros(DEPTH_SUMS)
    return depth_sums(predicted[valid], depth[valid])


def metric_terms(form: str) -> list[Term]:
    """Return the scale-invariant logarithmic loss in one of `silog_loss`'s forms, over all labeled pixels of a batch
    (docs/paper.md 5), and how far depth is from the labels.

    The loss of a batch that several processes share is the mean of theirs, as in the released code: its variance is
    that of the pixels of one process.
    """

    def images(batch: Batch) -> int:
        return len(batch["depth"])

    return [
        Term("silog", lambda output: silog_loss(*output, form), images, 1.0),
        Term("abs_rel", lambda output: _relative_error(*output), images),
    ]


@torch.no_grad()
def _relative_error(predicted: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    error = torch.where(valid, (predicted / torch.where(valid, depth, 1.0) - 1).abs(), 0.0)
    return error.sum() / valid.sum().clamp_min(1)


def metric_groups(model: MetricDepth, settings: MetricSettings) -> list[dict[str, Any]]:
    """Return the parameter groups for AdamW: encoder, position embedding, decoder and head (docs/paper.md 5).

    All but the head learn at `learning_rate` / `reduction`; all have the same weight decay. The head of recipe v2 has
    no parameters, so that there the decoder is what learns at the whole rate (docs/paper.md 10). So does MiDaS's own,
    as in ZoeDepth's training of it.
    """
    slow, fast = settings.learning_rate / settings.reduction, settings.learning_rate
    rates = {"encoder": slow, "position_embedding": slow, "decoder": slow, "head": fast}
    if settings.recipe == "v2" or isinstance(model.decoder, OwnDecoder):
        rates["decoder"] = fast
    members: dict[str, list[nn.Parameter]] = {part: [] for part in rates}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = "position_embedding" if name == "encoder.pos_embed" else name.partition(".")[0]
            members[part].append(parameter)
    return [
        {"params": members[part], "lr": rate, "base_lr": rate, "weight_decay": settings.weight_decay, "part": part}
        for part, rate in rates.items()
        if members[part]
    ]


def one_cycle(group: Mapping[str, Any], step: int, total: int) -> dict[str, Any]:
    """Return rate and betas of a group at `step`: torch's OneCycleLR with div_factor 1, final_div_factor 1e4 and
    pct_start 0.7, momentum cycled between 0.85 and 0.95 (docs/paper.md 5).

    The rate stays at its maximum for 70 % of the steps while the momentum falls, then it falls along a cosine.
    """
    turn = RISING_SHARE * total - 1
    if step <= turn:
        momentum = _cosine(HIGHEST_MOMENTUM, LOWEST_MOMENTUM, step / turn)
        return {"lr": group["base_lr"], "betas": (momentum, BETAS[1])}
    share = (step - turn) / (total - 1 - turn)
    rate = _cosine(group["base_lr"], group["base_lr"] * LAST_FACTOR, share)
    return {"lr": rate, "betas": (_cosine(LOWEST_MOMENTUM, HIGHEST_MOMENTUM, share), BETAS[1])}


def polynomial_decay(group: Mapping[str, Any], step: int, total: int) -> dict[str, Any]:
    """Return the rate of a group at `step`: (1 - step / total)^0.9 of its base rate (docs/paper.md 10)."""
    return {"lr": group["base_lr"] * (1 - step / total) ** POWER}


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
