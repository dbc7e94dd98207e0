"""Whole training batches, each a pure function of (seed, step, samples): the input side of teacher and student.

Item t of a data set here is the entire batch of step t. Workers of the loader therefore only decide when a batch
is made, never what is in it, and resuming starts at a step without any loader state. Images leave the workers as
uint8, a quarter of the bytes; `network_input` makes them the network's input where the network is.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from depth_model.datasets.disparity import normalised_disparity
from depth_model.datasets.pool import SamplePool, StoredSample
from depth_model.datasets.sample import BadInput
from depth_model.networks.preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN
from depth_model.objectives import sample_box
from depth_model.training.augmentation import Perturbation, crop_image, crop_raster, draw_crop, perturb
from depth_model.training.sampling import batch_indices

LABELED, UNLABELED, CUTMIX = 0, 1, 2
"""Streams of random numbers of one seed: what one draws never shifts what another draws."""

Batch = dict[str, Any]
"""Tensors by name; a student batch holds one such mapping for each of its parts."""


def labeled_batch(pool: SamplePool, seed: int, count: int, side: int, step: int) -> Batch:
    """Return the `count` labelled samples of batch `step`, resized, cropped to `side` and flipped (paper 3.1).

    images uint8 (B, S, S, 3); disparity float32 (B, S, S) in [0, 1]; valid bool (B, S, S); unusable: how many
    samples have no usable target and take no part (their `valid` is False everywhere), float32 scalar.
    """
    indices = batch_indices((seed, LABELED), step, count, len(pool))
    generators = [np.random.default_rng([seed, LABELED, step, number]) for number in range(count)]
    return _stacked([_cropped(pool.load(int(i)), side, g) for i, g in zip(indices, generators, strict=True)])


def unlabeled_batch(
    pool: SamplePool, seed: int, count: int, side: int, perturbation: Perturbation, step: int
) -> Batch:
    """Return the `count` pseudo-labelled samples of batch `step`, strongly perturbed (paper 3.2).

    As `labeled_batch`, with the images perturbed in colour and the pseudo labels of the clean images, and box,
    bool (B, S, S): the CutMix mask M of equation 5 for each image.
    """
    indices = batch_indices((seed, UNLABELED), step, count, len(pool))
    samples = []
    for number, index in enumerate(indices):
        generator = np.random.default_rng([seed, UNLABELED, step, number])
        image, disparity, valid = _cropped(pool.load(int(index)), side, generator)
        samples.append((perturb(image, perturbation, generator), disparity, valid))
    boxes = np.random.default_rng([seed, CUTMIX, step])
    box = [sample_box(boxes, side, side, perturbation.cutmix_probability) for _ in indices]
    return _stacked(samples) | {"box": torch.from_numpy(np.stack(box))}


def network_input(images: Tensor) -> Tensor:
    """Return uint8 (B, H, W, 3) RGB images as float32 (B, 3, H, W), normalised with ImageNet's mean and deviation."""
    imagenet = (IMAGENET_MEAN, IMAGENET_DEVIATION)
    mean, deviation = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in imagenet)
    return (images.permute(0, 3, 1, 2).float() / 255 - mean) / deviation


def loader(make: Callable[[int], Batch], start: int, total: int, workers: int) -> Generator[Batch, None, None]:
    """Yield `make(step)` for every step from `start` below `total`, made ahead by `workers` processes (0: none).

    The processes end when the generator is closed or finished; they leave SIGINT and SIGTERM to their parent.

    Raises BadInput, in one line, when a batch cannot be made because stored data are damaged.
    """
    batches = DataLoader(
        _Steps(make),
        sampler=range(start, total),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_start_worker,
        # The columns of the pool are shared with forked workers and would be copied into spawned ones.
        multiprocessing_context="fork" if workers else None,
    )
    for batch in batches:
        if isinstance(batch, BadInput):
            raise batch
        yield batch


class _Steps(Dataset):
    """Item t is batch t, or the BadInput that kept it from being made: torch would bury it in a traceback."""

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Batch | BadInput:
        try:
            return self._make(step)
        except BadInput as error:
            return error


def _start_worker(number: int) -> None:
    # A signal to the whole process group is the trainer's to answer: it still needs its batch to end well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(0)


def _cropped(
    sample: StoredSample, side: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (image, disparity, valid) of one crop; the target is normalised before, over the whole map."""
    crop = draw_crop(generator, *sample.image.shape[:2], side)
    try:
        disparity, valid = normalised_disparity(sample.target, sample.target_kind, sample.sky)
    except BadInput:
        nothing = np.zeros((side, side), np.float32)
        return crop_image(sample.image, crop), nothing, nothing.astype(bool)
    return crop_image(sample.image, crop), crop_raster(disparity, crop), crop_raster(valid, crop)


def _stacked(samples: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Batch:
    images, disparity, valid = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*samples, strict=True))
    unusable = (~valid.flatten(1).any(dim=1)).sum().float()
    return {"images": images, "disparity": disparity, "valid": valid, "unusable": unusable}
