"""Validation inside training: a model is measured on images that no training learns from, and the best weights kept.

What is measured, and on what, is a `Validation`, which each training brings; when, and what follows, its settings say.
Every verdict is a function of the figures so far, which are the same in every process and part of every checkpoint:
a resumed run judges as an undisturbed one does. Does not choose what is held out; the stage `audit` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from depth_model.metrics.depth import ALL_METRICS, Metric, depth_metrics
from depth_model.shards.pool import SamplePool
from depth_model.training import processes
from depth_model.training.batches import Batch, loader, moved
from depth_model.training.history import History
from depth_model.training.sampling import WHOLE
from depth_model.training.settings import ValidationSettings

PREFIX = "validation/"
"""Before the names of figures in histories."""
DEPTH_FIGURES = ("abs_rel", "delta1")
DEPTH_SUMS = len(DEPTH_FIGURES) + 1


@dataclass(frozen=True)
class HeldOut:
    """The samples that a training is measured on instead of learning from them, and when."""

    pool: SamplePool
    settings: ValidationSettings


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What is measured: `make(number)` gives image `number` of `images` as a batch, `score(model, batch)` its `sums`
    numbers, float64 (sums,), which add up over images, and `figures` what they come to, by the key of a metric.

    `decides` says which of them makes a model the best one.
    """

    images: int
    make: Callable[[int], Batch]
    score: Callable[[nn.Module, Batch], np.ndarray]
    sums: int
    figures: Callable[[np.ndarray], dict[str, float]]
    decides: Metric
    settings: ValidationSettings

    @property
    def column(self) -> str:
        """The name of the deciding figure in a history."""
        return PREFIX + self.decides.key

    def due(self, finished: int, steps: int) -> bool:
        """Return whether to measure after `finished` of `steps` steps: at the start, every so many, and at the end."""
        return finished % self.settings.every == 0 or finished == steps


def measure(validation: Validation, model: nn.Module, workers: int) -> dict[str, float]:
    """Return the figures of `model` by their names in a history, the same in every process.

    Each process measures its share of the images, in fp32, whatever the precision of training.
    """
    own = processes.shares(1)[0].rows(validation.images)
    total, learning, device = np.zeros(validation.sums), model.training, processes.best_device()
    model.eval()
    made = loader(lambda number, share: validation.make(number), [WHOLE], own.start, own.stop, workers)
    # Compiled networks would be compiled anew for every size of image.
    with torch.no_grad(), torch.compiler.set_stance("force_eager"), closing(made) as batches:
        for (batch,) in batches:
            total += validation.score(model, moved(batch, device))
    model.train(learning)
    found = validation.figures(processes.summed(torch.from_numpy(total).to(device)).cpu().numpy())
    return {PREFIX + name: value for name, value in found.items()}


def best_step(validation: Validation, measured: Mapping[int, Mapping[str, float]]) -> int | None:
    """Return after which step the deciding figure was best, the first of equal ones; None where none is finite."""
    best = None
    for step, figures in measured.items():
        value = figures[validation.column]
        if math.isfinite(value):
            if best is None or validation.decides.better(value, measured[best][validation.column]):
                best = step
    return best


def worse_since(validation: Validation, measured: Mapping[int, Mapping[str, float]]) -> int:
    """Return how many measurements have followed the best one, or the first where none is finite."""
    steps = list(measured)
    best = best_step(validation, measured)
    return len(steps) - 1 - (0 if best is None else steps.index(best))


def exhausted(validation: Validation, measured: Mapping[int, Mapping[str, float]]) -> bool:
    """Return whether the patience with a model that gets no better is used up."""
    return 0 < validation.settings.patience <= worse_since(validation, measured)


def kept(history: History) -> str:
    """Return in words which step's weights became the model, and what was measured of them and of the last ones."""
    figures, (last, final) = history.measured[history.kept], next(reversed(history.measured.items()))
    shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    if last == history.kept:
        return f"kept step {last}: {shown}"
    return f"kept step {history.kept}: {shown}; at step {last} " + ", ".join(f"{one:.4f}" for one in final.values())


def depth_sums(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return (AbsRel, delta1, 1) of one image, for depth > 0 (n,) where truth counts; NaN for a prediction that is not
    finite."""
    if not np.isfinite(predicted).all():
        return np.array([np.nan, np.nan, 1.0])
    found = depth_metrics(predicted, true)
    return np.array([found["abs_rel"], found["delta1"], 1.0])


def depth_figures(sums: np.ndarray) -> dict[str, float]:
    """Return AbsRel and delta1, means over the images of `depth_sums`; NaN without any."""
    means = sums[:2] / sums[2] if sums[2] else np.full(2, np.nan)
    return dict(zip(DEPTH_FIGURES, means.tolist(), strict=True))


def depth_validation(
    held_out: HeldOut, make: Callable[[int], Batch], score: Callable[[nn.Module, Batch], np.ndarray]
) -> Validation:
    """Return how a depth model is measured on `held_out`, by a `score` that gives `depth_sums`."""
    return Validation(
        images=len(held_out.pool),
        make=make,
        score=score,
        sums=DEPTH_SUMS,
        figures=depth_figures,
        decides=ALL_METRICS["abs_rel"],
        settings=held_out.settings,
    )
