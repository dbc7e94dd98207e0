"""Pseudo labels (paper 3.2, equation 4): the teacher's disparity of every clean unlabeled image, shard by shard.

One shard of images gives one shard of labels, whole or not at all, so that a killed run goes on with the shards
that are missing. Labels are kept at the network's resolution, quantised. No image is left out or judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from depth_model.datasets import rasters
from depth_model.datasets.source import SourceFolder, finished_shards, join_sidecar, write_sidecar_shard
from depth_model.inference import DepthPredictor

SUFFIX = f"target{rasters.SUFFIX}"


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
    Raises BadInput for a damaged shard, FloatingPointError when the teacher gives a value that is not finite.
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
    encoded: list[bytes] = []
    columns: dict[str, list[Any]] = {"minimum": [], "maximum": []}
    for disparity in _predicted(source, rows, teacher):
        if not np.isfinite(disparity).all():
            raise FloatingPointError(f"{source.folder / shard}: the teacher's disparity is not finite; train it again")
        encoded.append(rasters.encode_quantised(disparity, bits))
        columns["minimum"].append(float(disparity.min()))
        columns["maximum"].append(float(disparity.max()))
    columns |= {"bits": [bits] * len(rows), "teacher_sha256": [teacher_sha256] * len(rows)}
    write_sidecar_shard(scratch, source, shard, SUFFIX, encoded, columns)


def _predicted(source: SourceFolder, rows: np.ndarray, teacher: DepthPredictor) -> Iterator[np.ndarray]:
    """Yield the disparity of the images `rows` in order; the next images are decoded while the network works."""
    parts = [rows[start : start + teacher.batch] for start in range(0, len(rows), teacher.batch)]
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(_images, source, parts[0])
        for following in [*parts[1:], parts[0][:0]]:
            images, waiting = waiting.result(), reader.submit(_images, source, following)
            yield from teacher.network_disparity(images)


def _images(source: SourceFolder, rows: np.ndarray) -> list[np.ndarray]:
    return [source.image(int(row)) for row in rows]
