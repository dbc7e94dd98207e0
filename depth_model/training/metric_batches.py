"""Batches for metric fine-tuning, each a pure function of (seed, step, samples), as for teacher and student."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depth_model.datasets.pool import SamplePool, resized_nearest
from depth_model.datasets.sample import BadInput
from depth_model.networks.metric_depth import MINIMUM
from depth_model.training.batches import Batch
from depth_model.training.metric_augmentation import MetricInput, augmented
from depth_model.training.sampling import batch_indices

METRIC = 3
"""Stream of random numbers, apart from those of `depth_model.training.batches`."""


def metric_batch(pool: SamplePool, seed: int, count: int, settings: MetricInput, maximum: float, step: int) -> Batch:
    """Return the `count` samples of batch `step`, augmented (paper.md section 5).

    images float32 (B, 3, height, width) in [0, 1], squashed to the network's input; depth float32 (B, h, w) in
    metres, at the size of the first sample's (other sizes by nearest neighbour); valid bool (B, h, w): where the
    depth lies between 0.001 m and `maximum`. Raises BadInput for a sample without metric depth.
    """
    indices = batch_indices((seed, METRIC), step, count, len(pool))
    samples = [
        _augmented(pool, int(index), settings, np.random.default_rng([seed, METRIC, step, number]))
        for number, index in enumerate(indices)
    ]
    shape = samples[0][1].shape
    images = torch.cat([_squashed(image, settings) for image, _ in samples])
    depth = torch.from_numpy(np.stack([resized_nearest(labels, shape) for _, labels in samples]))
    valid = (depth > MINIMUM) & (depth < maximum)  # False for NaN
    return {"images": images, "depth": depth, "valid": valid}


def _augmented(
    pool: SamplePool, index: int, settings: MetricInput, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    sample = pool.load(index)
    if sample.target is None or sample.target_kind != "metric_depth":
        raise BadInput(f"{sample.source}/{sample.key}: its label is {sample.target_kind}, not depth in metres")
    return augmented(sample.image, sample.target, settings, generator)


def _squashed(image: np.ndarray, settings: MetricInput) -> Tensor:
    """Return `image` (H, W, 3) as (1, 3, height, width), bilinear with corners aligned, as the released code does."""
    values = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    size = (settings.height, settings.width)
    return functional.interpolate(values, size=size, mode="bilinear", align_corners=True)
