"""Batches for segmentation, each a pure function of (seed, step, samples), as for teacher and student."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from depth_model.errors import BadInput
from depth_model.networks.preprocessing import network_size
from depth_model.semantic.classes import IGNORE
from depth_model.semantic.training.augmentation import semantic_crop
from depth_model.shards.pool import SamplePool, resized_nearest
from depth_model.training.batches import Batch
from depth_model.training.sampling import WHOLE, Share, batch_indices

SEMANTIC, POINTS = 4, 5
"""Streams of random numbers, apart from those of `batches` and `metric_batches`."""


def semantic_batch(
    pool: SamplePool, seed: int, count: int, side: int, classes: int, step: int, share: Share = WHOLE
) -> Batch:
    """Return a share of the `count` samples of batch `step`, augmented to `side` pixels (docs/paper.md 6).

    images uint8 (B, S, S, 3); labels uint8 (B, S, S), below `classes` or 255 = ignore; points_seed: an integer from
    which a loss may draw for this share; keys. Raises BadInput for a sample without labels, or with other ones.
    """
    indices = batch_indices((seed, SEMANTIC), step, count, len(pool))
    samples = [
        _augmented(pool, int(indices[number]), side, classes, np.random.default_rng([seed, SEMANTIC, step, number]))
        for number in share.rows(count)
    ]
    images = np.stack([image for image, _, _ in samples])
    labels = np.stack([one for _, one, _ in samples])
    draws = np.random.default_rng([seed, POINTS, step, share.index])
    return {
        "images": torch.from_numpy(images),
        "labels": torch.from_numpy(labels),
        "points_seed": int(draws.integers(2**31)),
        "keys": [key for _, _, key in samples],
    }


def whole_image(pool: SamplePool, side: int, patch: int, classes: int, number: int) -> Batch:
    """Return sample `number` whole and not augmented, its shorter side at `side`: images uint8 (1, h, w, 3), labels
    uint8 (h, w), keys. Raises as `semantic_batch` does."""
    image, labels, key = _loaded(pool, number, classes)
    size = network_size(*image.shape[:2], side, patch)
    if image.shape[:2] != size:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    labels = np.ascontiguousarray(resized_nearest(labels, size))
    return {"images": torch.from_numpy(image)[None], "labels": torch.from_numpy(labels), "keys": [key]}


def labeled_share(pool: SamplePool, classes: int, number: int) -> float:
    """Return the share of the pixels of sample `number` that have a class. Raises as `semantic_batch` does."""
    return float((_loaded(pool, number, classes)[1] != IGNORE).mean())


def _augmented(
    pool: SamplePool, index: int, side: int, classes: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, str]:
    image, labels, key = _loaded(pool, index, classes)
    return *semantic_crop(image, labels, side, generator), key


def _loaded(pool: SamplePool, index: int, classes: int) -> tuple[np.ndarray, np.ndarray, str]:
    sample, labels = pool.load(index), pool.semantic(index)
    key = f"{sample.source}/{sample.key}"
    if labels is None:
        raise BadInput(f"{key}: has no class labels")
    if (strange := labels[(labels >= classes) & (labels != IGNORE)]).size:
        raise BadInput(f"{key}: label {strange[0]}, of {classes} classes")
    return sample.image, labels, key
