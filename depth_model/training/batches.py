"""Whole training batches, each a pure function of (seed, step, samples): the input side of teacher and student.

What is in the batch of a step depends neither on the workers of the loader, which only decide when it is made, nor on
how many processes share it: each makes its own share of the same global batch. Resuming starts at a step without any
loader state. Images leave the workers as uint8, a quarter of the bytes; `network_input` makes them the network's
input where the network is.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from depth_model.errors import BadInput
from depth_model.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from depth_model.objectives import sample_box
from depth_model.shards.disparity import normalized_disparity
from depth_model.shards.pool import SamplePool
from depth_model.shards.store import StoreError
from depth_model.training.augmentation import crop_image, crop_raster, draw_crop, perturb
from depth_model.training.sampling import WHOLE, Share, batch_indices
from depth_model.training.settings import Perturbation

LABELED, UNLABELED, CUTMIX = 0, 1, 2
"""Streams of random numbers of one seed: what one draws never shifts what another draws."""

Batch = dict[str, Any]
"""Tensors by name, and `keys`: `source/key` of each sample; a student batch holds one such mapping for each part."""


def labeled_batch(pool: SamplePool, seed: int, count: int, side: int, step: int, share: Share = WHOLE) -> Batch:
    """Return a share of the `count` labeled samples of batch `step`, resized, cropped to `side`, flipped (paper 3.1).

    images uint8 (B, S, S, 3); disparity float32 (B, S, S) in [0, 1]; valid bool (B, S, S); unusable: how many
    samples have no usable target and take no part (their `valid` is False everywhere), float32 scalar; keys.
    B is 0 for an empty share.
    """
    indices = batch_indices((seed, LABELED), step, count, len(pool))
    rows = share.rows(count)
    generators = [np.random.default_rng([seed, LABELED, step, number]) for number in rows]
    samples = [_cropped(pool, int(indices[n]), side, g) for n, g in zip(rows, generators, strict=True)]
    return _stacked(samples, side, len(rows))


def unlabeled_batch(
    pool: SamplePool,
    seed: int,
    count: int,
    side: int,
    perturbation: Perturbation,
    step: int,
    share: Share = WHOLE,
) -> Batch:
    """Return a share of the `count` pseudo-labeled samples of batch `step`, strongly perturbed (paper 3.2).

    As `labeled_batch`, with the images perturbed in color and the pseudo labels of the clean images. For CutMix:
    box, bool (B, S, S), the mask M of equation 5 for each image; partner, int64 (B,), the place of its partner u_b,
    the image before it in the global batch. A partner outside the share follows after the B samples, so that images,
    disparity and valid may be longer than B, and classes, uint8 (B, S, S), 255 = none, of a pool with class maps.
    """
    indices = batch_indices((seed, UNLABELED), step, count, len(pool))
    rows = share.rows(count)
    partners = [(number - 1) % count for number in rows]
    needed = list(dict.fromkeys([*rows, *partners]))
    samples = []
    for number in needed:
        generator = np.random.default_rng([seed, UNLABELED, step, number])
        image, *rest = _cropped(pool, int(indices[number]), side, generator)
        samples.append((perturb(image, perturbation, generator), *rest))
    boxes = np.random.default_rng([seed, CUTMIX, step])
    box = [sample_box(boxes, side, side, perturbation.cutmix_probability) for _ in indices]
    return _stacked(samples, side, len(rows)) | {
        "box": torch.from_numpy(np.stack(box)[rows.start : rows.stop]),
        "partner": torch.tensor([needed.index(number) for number in partners], dtype=torch.int64),
    }


def sample_keys(batch: Batch) -> list[str]:
    """Return `source/key` of every sample of a batch and of its parts; empty when the batch does not say."""
    own = list(batch.get("keys", []))
    return own + [key for part in batch.values() if isinstance(part, dict) for key in sample_keys(part)]


def moved(batch: Batch, device: torch.device) -> Batch:
    """Return `batch` with its tensors on `device`."""
    return {name: _moved(value, device) for name, value in batch.items()}


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        return moved(value, device)
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def on_device(batches: Iterable[list[Batch]], device: torch.device) -> Iterator[list[Batch]]:
    """Yield the parts of each of `batches` on `device`; a GPU gets the next ones while it computes on those in hand."""
    if device.type != "cuda":
        yield from ([moved(part, device) for part in parts] for parts in batches)
        return
    copies, ready = torch.cuda.Stream(device), None
    for parts in batches:
        upcoming = _copied(parts, device, copies)
        if ready is not None:
            yield _waited_for(*ready)
        ready = upcoming
    if ready is not None:
        yield _waited_for(*ready)


def _copied(
    parts: list[Batch], device: torch.device, copies: torch.cuda.Stream
) -> tuple[list[Batch], torch.cuda.Event]:
    with torch.cuda.stream(copies):
        return [moved(part, device) for part in parts], copies.record_event()


def _waited_for(parts: list[Batch], arrived: torch.cuda.Event) -> list[Batch]:
    """Return `parts` once the GPU, not the CPU, has been told to wait for their arrival."""
    computing = torch.cuda.current_stream()
    computing.wait_event(arrived)
    for part in parts:
        for tensor in _tensors(part):
            tensor.record_stream(computing)  # else its memory could be given away while it is still read
    return parts


def _tensors(batch: Batch) -> Iterator[Tensor]:
    for value in batch.values():
        if isinstance(value, dict):
            yield from _tensors(value)
        elif isinstance(value, Tensor):
            yield value


def network_input(images: Tensor) -> Tensor:
    """Return uint8 (B, H, W, 3) RGB images as float32 (B, 3, H, W), normalized with ImageNet's mean and deviation."""
    width = images.shape[2]
    shift, factor = _imagenet(width, images.device)
    values = images.flatten(2).to(torch.float32)
    torch.addcmul(shift, values, factor, out=values)
    return values.unflatten(2, (width, 3)).permute(0, 3, 1, 2)


@lru_cache(maxsize=16)
def _imagenet(width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what to add to, and to multiply with, a row of pixels; kept, for copying it to a GPU waits for the GPU."""
    # Rows of all channels at one go: passes through memory, and loops over three channels, cost more than arithmetic.
    mean, deviation = (torch.tensor(values, device=device).repeat(width) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return -mean / deviation, 1 / (255 * deviation)


def loader(
    make: Callable[[int, Share], Batch],
    shares: Sequence[Share],
    start: int,
    total: int,
    workers: int,
    pinned: bool = False,
) -> Generator[list[Batch], None, None]:
    """Yield `[make(step, share) for share in shares]` for every step from `start` below `total`.

    They are made ahead by `workers` processes (0: none), which end when the generator is closed or finished and
    leave SIGINT and SIGTERM to their parent. `pinned` puts them where a GPU can fetch them by itself.

    Raises BadInput, in one line, when a batch cannot be made because stored data are damaged, and StoreError when a
    store of shards cannot be used.
    """
    count = len(shares)
    parts = DataLoader(
        _Parts(make, shares),
        sampler=range(start * count, total * count),
        batch_size=None,
        num_workers=workers,
        pin_memory=pinned,
        worker_init_fn=_start_worker,
        # The columns of the pool are shared with forked workers and would be copied into spawned ones.
        multiprocessing_context="fork" if workers else None,
    )
    made = iter(parts)
    try:
        while whole := list(islice(made, count)):
            for part in whole:
                if isinstance(part, _Trouble):
                    raise part
            yield whole
    finally:
        # A traceback would keep the iterator, and with it processes that ignore signals.
        del made


_Trouble = (BadInput, StoreError)


class _Parts(Dataset):
    """Part by part of batch after batch, or the trouble that kept one from being made: torch would bury it in a
    traceback."""

    def __init__(self, make: Callable[[int, Share], Batch], shares: Sequence[Share]) -> None:
        self._make, self._shares = make, shares

    def __getitem__(self, number: int) -> Batch | BadInput | StoreError:
        step, part = divmod(number, len(self._shares))
        try:
            return self._make(step, self._shares[part])
        except _Trouble as error:
            return error


def _start_worker(number: int) -> None:
    # A signal to the whole process group is the trainer's to answer: it still needs its batch to end well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(0)


_Sample = tuple[np.ndarray, np.ndarray, np.ndarray, str, np.ndarray | None]


def _cropped(pool: SamplePool, index: int, side: int, generator: np.random.Generator) -> _Sample:
    """Return (image, disparity, valid, key, classes) of one crop, the last None where the pool has no class maps; the
    target is normalized before, over the whole map."""
    sample = pool.load(index)
    key = f"{sample.source}/{sample.key}"
    crop = draw_crop(generator, *sample.image.shape[:2], side)
    image = crop_image(sample.image, crop)
    window = partial(crop_raster, crop=crop)
    classes = window(pool.class_map(index)) if pool.has_class_maps else None
    try:
        disparity, valid = normalized_disparity(sample.target, sample.target_kind, sample.sky, window)
    except BadInput:
        nothing = np.zeros((side, side), np.float32)
        return image, nothing, nothing.astype(bool), key, classes
    return image, disparity, valid, key, classes


def _stacked(samples: list[_Sample], side: int, own: int) -> Batch:
    """Return a batch of `samples`, of which the first `own` count; the others are partners only."""
    kinds = (np.uint8, (side, side, 3)), (np.float32, (side, side)), (np.bool_, (side, side))
    arrays = [np.empty((len(samples), *shape), kind) for kind, shape in kinds]
    for number, sample in enumerate(samples):
        for array, value in zip(arrays, sample[:3], strict=True):
            array[number] = value
    images, disparity, valid = map(torch.from_numpy, arrays)
    unusable = torch.tensor(float(sum(not sample[2].any() for sample in samples[:own])))
    keys = [sample[3] for sample in samples[:own]]
    batch = {"images": images, "disparity": disparity, "valid": valid, "unusable": unusable, "keys": keys}
    if samples and samples[0][4] is not None:
        batch["classes"] = torch.from_numpy(np.stack([sample[4] for sample in samples]))
    return batch
