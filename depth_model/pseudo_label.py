"""Pseudo labels (paper 3.2, equation 4): the teacher's disparity of every clean unlabeled image, shard by shard.

One shard of images gives one shard of labels, whole or not at all, so that a killed run goes on with the shards
that are missing. Labels are kept at the network's resolution, quantised. No image is left out or judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from depth_model.datasets import rasters
from depth_model.datasets.source import SourceFolder, finished_shards, join_sidecar, write_sidecar_shard
from depth_model.inference import DepthPredictor
from depth_model.networks.preprocessing import network_size

SUFFIX = f"target.{rasters.SUFFIX}"


class BadTeacher(RuntimeError):
    """The teacher's predictions cannot serve as labels; the message says where it was seen and what to do."""


def label_source(
    source: SourceFolder,
    teacher: DepthPredictor,
    teacher_sha256: str,
    bits: int,
    scratch: Path,
    result: Path,
    progress: Callable[[int], None],
) -> None:
    """Write the pseudo labels of every sample of `source` to `result`: shards and sidecar.parquet.

    `teacher_sha256` is recorded with every label, `bits` is the depth of quantisation. Finished shards in
    `scratch` are used again. `progress(images)` is called with how many images are newly done or found done.
    Raises BadInput for a damaged shard and BadTeacher when the teacher gives a value that is not finite.
    """
    done = finished_shards(scratch)
    for shard, rows in source.shards():
        if shard not in done:
            _label_shard(source, shard, rows, teacher, teacher_sha256, bits, scratch)
        progress(len(rows))
    join_sidecar(scratch, result, source)


def _label_shard(
    source: SourceFolder,
    shard: str,
    rows: np.ndarray,
    teacher: DepthPredictor,
    teacher_sha256: str,
    bits: int,
    scratch: Path,
) -> None:
    encoded: dict[int, bytes] = {}
    limits: dict[int, tuple[float, float]] = {}
    for row, disparity in _predicted(source, rows, teacher):
        if not np.isfinite(disparity).all():
            where = f"{source.folder.name}, image {source.key(row)}"
            raise BadTeacher(
                f"{where}: the teacher's disparity is not finite; train it again with lower learning rates"
            )
        encoded[row] = rasters.encode_quantised(disparity, bits)
        limits[row] = float(disparity.min()), float(disparity.max())
    minimum, maximum = zip(*(limits[row] for row in rows), strict=True)
    columns: dict[str, Any] = {"minimum": minimum, "maximum": maximum}
    columns |= {"bits": [bits] * len(rows), "teacher_sha256": [teacher_sha256] * len(rows)}
    write_sidecar_shard(scratch, source, shard, SUFFIX, (encoded[row] for row in rows), columns)


def _predicted(
    source: SourceFolder, rows: np.ndarray, teacher: DepthPredictor
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each of `rows` with its disparity; the next images are decoded while the network works."""
    batches = _batches(source, rows, teacher)
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(_images, source, batches[0])
        for batch, following in zip(batches, [*batches[1:], []], strict=True):
            images, waiting = waiting.result(), reader.submit(_images, source, following)
            yield from zip(batch, teacher.network_disparity(images), strict=True)


def _batches(source: SourceFolder, rows: np.ndarray, teacher: DepthPredictor) -> list[list[int]]:
    """Cut `rows` into batches of images that the network sees at one size, so that each fills one pass."""
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, height, width in zip(
        rows, *(source.manifest[side].iloc[rows] for side in ("height", "width")), strict=True
    ):
        by_size[network_size(height, width, teacher.short_side)].append(int(row))
    step = teacher.batch
    return [same[start : start + step] for same in by_size.values() for start in range(0, len(same), step)]


def _images(source: SourceFolder, rows: list[int]) -> list[np.ndarray]:
    return [source.image(row) for row in rows]
