"""Pseudo labels (paper 3.2, equation 4): the teacher's disparity of every clean unlabeled image, shard by shard.

One shard of images gives one shard of labels, whole or not at all: a killed worker costs the shard it was at, and a
run goes on with those that are missing. Images are read ahead and labels checked and encoded by threads while the
network works; a GPU is given the next batch before it is asked for the last one. A teacher that is no relative Depth
Anything (see `teachers`) is asked image by image.
Labels are kept at the network's resolution, quantized. No image is left out; a score of quality is optional. The
bytes depend on the torch threads of a worker, not on how many workers there are or what runs them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from depth_model.errors import BadInput, UserError, named
from depth_model.metrics.alignment import align_disparity, is_constant
from depth_model.networks.device import sent, torch_threads, worker_device
from depth_model.networks.preprocessing import network_size
from depth_model.networks.variants import PATCH
from depth_model.prediction.predictor import DepthPredictor, network_image, resized
from depth_model.pseudo_label.teachers import Foreign, estimator_of, relative_model
from depth_model.reading.engines import HELPERS, ahead, over_shards, slot
from depth_model.settings import Engine
from depth_model.shards import rasters
from depth_model.shards.source import SourceFolder, join_sidecar, write_sidecar_shard
from depth_model.shards.store import Bucket

SUFFIX = f"target.{rasters.SUFFIX}"
_IN_FLIGHT = 1
"""Batches that the network is at while the one before them is encoded."""


@dataclass(frozen=True)
class Labeling:
    """Everything that a label depends on, and where it is made; cheap to send to another process.

    `teachers`: folders of models or predictions, each with its weight; the disparity of the second and further ones is
    aligned to the first's by least squares, and the weighted mean of all is the label. `sha256` is recorded with every
    label. `short_side` in pixels is a multiple of their patch, `bits` the depth of quantization, `batch` the most
    images in one pass. `quality` "flip" scores each image (see `flip_consistency`) at the cost of a second pass of the
    first teacher. `threads` are those of torch in each worker, 0 as many as torch takes there. `device` is "cpu",
    "gpu", or "auto" for a GPU where there is one.
    """

    teachers: Mapping[Path, float]
    sha256: str
    short_side: int
    bits: int
    batch: int
    precision: Literal["fp32", "bf16"] = "fp32"
    quality: Literal["none", "flip"] = "none"
    threads: int = 0
    device: Literal["auto", "cpu", "gpu"] = "auto"


def label_source(
    source: SourceFolder,
    labeling: Labeling,
    scratch: Path,
    result: Path,
    progress: Callable[[int], None],
    engine: Engine = "local",
    processes: int = 1,
    store: Bucket | None = None,
) -> None:
    """Write the pseudo labels of every sample of `source` to `result`: shards and sidecar.parquet.

    Shards are kept in `store` when there is one, and then only the table lies in `result`.
    Finished shards in `scratch` are used again; on several machines it must be on a file system that they share.
    `processes` is how many shards are in the works at once, by this machine or by a Ray cluster (see
    `depth_model.reading.engines.ordered`). `progress(images)` is called with how many images are newly done or found
    done. Raises BadInput at the end for damaged images, whose shards alone are without labels then, UserError when a
    teacher gives a value that is not finite, for a GPU that is not there and when a worker is killed time and again,
    BadCheckpoint for no model, and StoreError when a store cannot be used.
    """
    damaged = []
    for images, fault in over_shards(_label_shard, source, labeling, scratch, progress, engine, processes, store):
        damaged += [fault] if fault else []
        progress(images)
    if damaged:
        count = f"{len(damaged)} of {len(source.shards())} shards have no labels for this; those of the others are kept"
        raise BadInput("\n".join([*damaged, f"{source.folder.name}: {count}"]))
    join_sidecar(scratch, result, source)


def _label_shard(source: SourceFolder, shared: tuple[Labeling, Path, Bucket | None]) -> tuple[int, str]:
    """Write the labels of `source`, the samples of one shard, into a folder; return how many they are, and what is
    wrong with an image of a shard that cannot have any."""
    try:
        return _write_labels(source, *shared), ""
    except BadInput as error:
        return 0, str(error)


def _write_labels(source: SourceFolder, labeling: Labeling, scratch: Path, store: Bucket | None) -> int:
    [(shard, rows)] = source.shards()
    device = worker_device(labeling.device, slot())
    teachers = _teachers(labeling, device)
    weights = tuple(labeling.teachers.values())
    labels: dict[int, Future[_Label]] = {}
    with torch_threads(labeling.threads), ThreadPoolExecutor(HELPERS) as encoders:
        waiting: deque[Future[_Label]] = deque()
        for row, maps, mirrored in _predicted(source, rows, teachers, labeling):
            labels[row] = encoders.submit(_label, maps, weights, mirrored, labeling.bits)
            waiting.append(labels[row])
            if len(waiting) > labeling.batch + 2 * HELPERS:
                waiting.popleft().result()  # maps in float32 are large: none waits long for an encoder
        made = [labels[row].result() for row in rows]
    columns: dict[str, Any] = {
        "minimum": [one.minimum for one in made],
        "maximum": [one.maximum for one in made],
        "bits": [labeling.bits] * len(rows),
        "teacher_sha256": [labeling.sha256] * len(rows),
    }
    if labeling.quality != "none":
        columns["quality"] = np.array([one.quality for one in made], np.float32)
    write_sidecar_shard(scratch, source, shard, SUFFIX, (one.encoded for one in made), columns, store)
    return len(rows)


_Teacher = DepthPredictor | Foreign


def _teachers(labeling: Labeling, device: torch.device) -> list[_Teacher]:
    """Return the teachers on `device`; raises UserError when they cannot all see an image at one size, and for a score
    of stored predictions."""
    try:
        teachers = [_teacher(path, labeling.short_side, labeling.precision, device) for path in labeling.teachers]
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(f"pseudo_label.{error}") from error
    patches = sorted({teacher.patch for teacher in teachers})
    if len(patches) > 1:
        sides = " and ".join(map(str, patches))
        raise UserError(f"the teachers have patches of {sides} pixels: name teachers with one kind of encoder")
    first = teachers[0]
    if labeling.quality != "none" and isinstance(first, Foreign) and first.estimator.stored:
        raise UserError(
            f"pseudo_label.quality = {labeling.quality!r}: stored predictions have no view of a mirror image"
        )
    return teachers


@lru_cache(maxsize=8)
def _teacher(path: Path, short_side: int, precision: str, device: torch.device) -> _Teacher:
    model = relative_model(path)
    if model is None:
        return Foreign(estimator_of(path, short_side), short_side, PATCH)
    return DepthPredictor(model.to(device), short_side, precision=precision)


_Prediction = tuple[int, list[np.ndarray], np.ndarray | None]


def _predicted(
    source: SourceFolder, rows: np.ndarray, teachers: Sequence[_Teacher], labeling: Labeling
) -> Iterator[_Prediction]:
    """Yield of each row its disparity by every teacher, and that of the mirrored image, mirrored back, if wanted."""
    batched = all(isinstance(teacher, DepthPredictor) for teacher in teachers)
    yield from (_predicted_in_batches if batched else _predicted_singly)(source, rows, teachers, labeling)


def _predicted_singly(
    source: SourceFolder, rows: np.ndarray, teachers: Sequence[_Teacher], labeling: Labeling
) -> Iterator[_Prediction]:
    name = source.folder.name
    for row in map(int, rows):
        image, called = _image(source, row), source.names(row)
        names = (*(f"{name}/{one}" for one in called), *called)
        maps = [_disparity(teacher, image, names) for teacher in teachers]
        mirrored = None
        if labeling.quality == "flip":
            mirrored = _disparity(teachers[0], np.ascontiguousarray(image[:, ::-1]), names)[:, ::-1]
        yield row, [maps[0], *(resized(one, maps[0].shape) for one in maps[1:])], mirrored


def _disparity(teacher: _Teacher, image: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    if isinstance(teacher, Foreign):
        with named(f"image {names[0]}"):
            return teacher.disparity(image, names)
    found = teacher.network_disparity([image])
    _check_finite(found, f"image {names[0]}")
    return found[0]


def _check_finite(maps: Sequence[np.ndarray], where: str) -> None:
    """Raise UserError for a map of a network that is not finite; `where` names the image or images."""
    if not all(np.isfinite(one).all() for one in maps):
        raise UserError(f"{where}: the teacher's disparity is not finite; train it again with lower learning rates")


def _predicted_in_batches(
    source: SourceFolder, rows: np.ndarray, teachers: Sequence[DepthPredictor], labeling: Labeling
) -> Iterator[_Prediction]:
    launched: deque[tuple[list[int], list[Callable[[], np.ndarray]]]] = deque()
    for batch, inputs in _read_ahead(source, _batches(source, rows, labeling, teachers[0].patch), teachers[0].device):
        passes = [teacher.started(inputs) for teacher in teachers]
        if labeling.quality == "flip":
            passes.append(teachers[0].started(inputs.flip(-1)))
        launched.append((batch, passes))
        if len(launched) > _IN_FLIGHT:
            yield from _arrived(source, *launched.popleft(), len(teachers))
    for one in launched:
        yield from _arrived(source, *one, len(teachers))


def _arrived(
    source: SourceFolder, batch: list[int], passes: Sequence[Callable[[], np.ndarray]], teachers: int
) -> Iterator[_Prediction]:
    """Yield what `_predicted` does of one batch, once the network is done with it."""
    found = [one() for one in passes]
    names = ", ".join(source.keys(np.array(batch)))
    _check_finite(found[:teachers], f"{source.folder.name}, one of the images {names}")
    for place, row in enumerate(batch):
        mirrored = [one[place, :, ::-1] for one in found[teachers:]]
        yield row, [one[place] for one in found[:teachers]], mirrored[0] if mirrored else None


def _batches(
    source: SourceFolder, rows: np.ndarray, labeling: Labeling, patch: int
) -> list[tuple[tuple[int, int], list[int]]]:
    """Cut `rows` into batches of images that the network sees at one size, so that each fills one pass."""
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, height, width in zip(
        rows, *(source.rows[side].take(rows).to_pylist() for side in ("height", "width")), strict=True
    ):
        by_size[network_size(height, width, labeling.short_side, patch)].append(int(row))
    step = labeling.batch
    return [(size, same[start : start + step]) for size, same in by_size.items() for start in range(0, len(same), step)]


def _read_ahead(
    source: SourceFolder, batches: Sequence[tuple[tuple[int, int], list[int]]], device: torch.device
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Yield each batch with the network's input (B, 3, h, w), ready for `device`; the next ones are decoded and
    resized meanwhile."""

    def read(batch: tuple[tuple[int, int], list[int]]) -> tuple[list[int], torch.Tensor]:
        size, rows = batch
        return rows, sent(np.stack([network_image(_image(source, row), size) for row in rows]), device)

    return ahead(read, batches, HELPERS)


def _image(source: SourceFolder, row: int) -> np.ndarray:
    with named(f"{source.folder.name}/{source.key(row)}"):
        return source.image(row)


@dataclass(frozen=True)
class _Label:
    encoded: bytes
    minimum: float
    maximum: float
    quality: float | None


def _label(maps: Sequence[np.ndarray], weights: Sequence[float], mirrored: np.ndarray | None, bits: int) -> _Label:
    disparity = averaged(maps, weights)
    quality = None if mirrored is None else flip_consistency(maps[0], mirrored)
    encoded = rasters.encode_quantized(disparity, bits)
    known = disparity[np.isfinite(disparity)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    return _Label(encoded, float(low), float(high), quality)


def averaged(maps: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Return the weighted mean, float32 (h, w), of disparity maps once scale and shift of each fit the first, not below
    0; NaN where one of them has no value."""
    if len(maps) == 1:
        return maps[0]
    known = np.isfinite(maps).all(axis=0)
    if not known.any():
        return np.full(maps[0].shape, np.nan, np.float32)
    total = weights[0] * maps[0].astype(np.float64)
    for one, weight in zip(maps[1:], weights[1:], strict=True):
        scale, shift = align_disparity(one, maps[0], None if known.all() else known)
        total += weight * (scale * one.astype(np.float64) + shift)
    return np.maximum(total / sum(weights), 0).astype(np.float32)


def flip_consistency(disparity: np.ndarray, mirrored: np.ndarray) -> float:
    """Return in [0, 1] how far two maps (h, w) of one image agree up to scale and shift, where both have a value.

    `mirrored` is the prediction of the mirrored image, mirrored back. The score is the share of the variance of
    `disparity` that the other explains after alignment by least squares (the squared correlation): 1 for the same
    map, 0 for one that is constant, unrelated or reversed.
    """
    known = np.isfinite(disparity) & np.isfinite(mirrored)
    disparity, mirrored = disparity[known], mirrored[known]
    if not known.any() or is_constant(disparity) or is_constant(mirrored):
        return 0.0
    correlation = np.corrcoef(disparity.ravel().astype(np.float64), mirrored.ravel().astype(np.float64))[0, 1]
    return float(np.clip(correlation, 0, 1)) ** 2
