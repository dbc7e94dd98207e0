"""Batches for metric fine-tuning, each a pure function of (seed, step, samples), as for teacher and student."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from depth_model.errors import BadInput, named
from depth_model.metric.heads.metric_depth import MINIMUM
from depth_model.metric.training.augmentation import augmented, cropped
from depth_model.metric.training.settings import MetricInput
from depth_model.networks.preprocessing import network_size, squashed
from depth_model.shards.pool import SamplePool, resized_nearest
from depth_model.training.batches import Batch
from depth_model.training.sampling import WHOLE, Share, batch_indices

METRIC = 3
"""Stream of random numbers, apart from those of `depth_model.training.batches`."""


def metric_batch(
    pool: SamplePool,
    seed: int,
    count: int,
    settings: MetricInput,
    maximum: float,
    step: int,
    share: Share = WHOLE,
) -> Batch:
    """Return a share of the `count` samples of batch `step`, augmented (docs/paper.md 5).

    images float32 (B, 3, height, width) in [0, 1], squashed to the network's input unless they are crops of that size
    (see `MetricInput`); depth float32 (B, h, w) in meters, at the size of the first sample's (other sizes by nearest
    neighbor); valid bool (B, h, w): where the depth lies between 0.001 m and `maximum`; keys. Raises BadInput for a
    sample without metric depth.
    """
    indices = batch_indices((seed, METRIC), step, count, len(pool))
    samples = [
        _augmented(pool, int(indices[number]), settings, np.random.default_rng([seed, METRIC, step, number]))
        for number in share.rows(count)
    ]
    return _stacked(samples, (settings.height, settings.width), maximum)


def plain_batch(pool: SamplePool, settings: MetricInput, maximum: float, patch: int, number: int) -> Batch:
    """Return sample `number` alone as `metric_batch` gives it, not augmented, and by recipe v2 whole. Raises as that
    does."""
    image, depth, key = _loaded(pool, number)
    with named(key):
        image, depth = cropped(image, depth, settings)
    values, size = image.astype(np.float32) / 255, (settings.height, settings.width)
    if settings.recipe == "v2":
        size = network_size(*image.shape[:2], settings.height, patch)
        values = cv2.resize(values, size[::-1], interpolation=cv2.INTER_CUBIC)
    return _stacked([(values, depth, key)], size, maximum)


def labeled_share(pool: SamplePool, maximum: float, number: int) -> float:
    """Return the share of the pixels of sample `number` whose depth counts: between 0.001 m and `maximum`. Raises as
    `metric_batch` does."""
    return float(_counts(_loaded(pool, number)[1], maximum).mean())


def _counts(depth: Any, maximum: float) -> Any:
    return (depth > MINIMUM) & (depth < maximum)  # False for NaN


def _stacked(samples: list[tuple[np.ndarray, np.ndarray, str]], size: tuple[int, int], maximum: float) -> Batch:
    shape = samples[0][1].shape
    images = torch.cat([squashed(image, size) for image, _, _ in samples])
    depth = torch.from_numpy(np.stack([resized_nearest(labels, shape) for _, labels, _ in samples]))
    valid = _counts(depth, maximum)
    return {"images": images, "depth": depth, "valid": valid, "keys": [key for _, _, key in samples]}


def _augmented(
    pool: SamplePool, index: int, settings: MetricInput, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, str]:
    image, depth, key = _loaded(pool, index)
    with named(key):
        return *augmented(image, depth, settings, generator), key


def _loaded(pool: SamplePool, index: int) -> tuple[np.ndarray, np.ndarray, str]:
    sample = pool.load(index)
    key = f"{sample.source}/{sample.key}"
    if sample.target is None or sample.target_kind != "metric_depth":
        raise BadInput(f"{key}: its label is {sample.target_kind}, not depth in meters")
    return sample.image, sample.target, key
