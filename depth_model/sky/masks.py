"""Where the sky is in an image, by a segmenter of choice, and the sky masks of a whole source.

A data set's own class labels come first; the segmenter decides only pixels that have none (docs/paper.md 1.2: the
paper names SegFormer). Written to the sidecar `data/sky/<name>`, one mask per labeled image, shard by shard as
pseudo labels are: by several processes, on GPUs or a Ray cluster, and a killed run goes on with the missing shards.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch

from depth_model.errors import named
from depth_model.networks.device import CPU, torch_threads, worker_device
from depth_model.reading.engines import HELPERS, ahead, over_shards, slot
from depth_model.settings import Engine
from depth_model.shards import rasters
from depth_model.shards.source import SourceFolder, join_sidecar, write_sidecar_shard
from depth_model.shards.store import Bucket

Segmenter = Callable[[np.ndarray], np.ndarray]
"""From an image, uint8 (H, W, 3), to the probability of sky, float32 (H, W) in [0, 1]."""

SUFFIX = "sky.png"
_UNKNOWN = 255


def load_segmenter(name: str, device: torch.device = CPU) -> Segmenter:
    """Return the segmenter `name`, which computes on `device`.

    "packaged_probe" is a linear probe on the packaged encoder (`sky_probe`), "none" finds no sky anywhere, and
    anything else is a folder or hub id of a transformers segmentation model with a class "sky".
    Raises UserError when it cannot be had.
    """
    if name == "none":
        return lambda image: np.zeros(image.shape[:2], np.float32)
    if name == "packaged_probe":
        return _packaged_probe(device)
    from depth_model.sky.transformers_segmenter import load_transformers_segmenter

    return load_transformers_segmenter(name, device)


def _packaged_probe(device: torch.device) -> Segmenter:
    from depth_model.sky import probe

    encoder, fitted = probe.packaged_encoder().to(device), probe.read_probe()
    return lambda image: probe.sky_probability(encoder, fitted, image)


def sky_mask(
    segmenter: Segmenter, image: np.ndarray, semantic: np.ndarray | None, sky_label: int | None, threshold: float
) -> tuple[np.ndarray, float]:
    """Return the sky mask of one image, bool (h, w), and the share of its pixels that class labels decided.

    `semantic`, uint8 (h, w) with 255 = unknown, decides where it is known, if the data set has a `sky_label`;
    elsewhere sky is where the segmenter's probability is at least `threshold`. (h, w) is the size of `semantic`,
    or that of `image`, uint8 (H, W, 3), when there are no usable labels.
    """
    if semantic is None or sky_label is None:
        return segmenter(image) >= threshold, 0.0
    mask, unknown = semantic == sky_label, semantic == _UNKNOWN
    if unknown.any():
        height, width = semantic.shape
        found = cv2.resize(segmenter(image), (width, height), interpolation=cv2.INTER_LINEAR) >= threshold
        mask = np.where(unknown, found, mask)
    return mask, 1 - float(unknown.mean())


@dataclass(frozen=True)
class Masking:
    """Everything that a sky mask depends on, and where it is made; cheap to send to another process.

    `segmenter` is what `load_segmenter` takes, `sky_label` and `threshold` what `sky_mask` takes; `threads` and
    `device` are those of `depth_model.pseudo_label.labeling.Labeling`.
    """

    segmenter: str
    sky_label: int | None
    threshold: float
    threads: int = 0
    device: Literal["auto", "cpu", "gpu"] = "auto"


def mask_source(
    source: SourceFolder,
    masking: Masking,
    scratch: Path,
    result: Path,
    progress: Callable[[int], None],
    engine: Engine = "local",
    processes: int = 1,
    store: Bucket | None = None,
) -> None:
    """Write the sky masks of every sample of `source` to `result`: shards and sidecar.parquet.

    The table says `sky_fraction` and `labeled_fraction`, the share of pixels that the data set's own labels decided.
    Finished shards in `scratch` are used again; the other arguments, and what is raised beside UserError for a
    segmenter that cannot be had, are as in `depth_model.pseudo_label.labeling.label_source`.
    """
    for images in over_shards(_mask_shard, source, masking, scratch, progress, engine, processes, store):
        progress(images)
    join_sidecar(scratch, result, source)


def _mask_shard(source: SourceFolder, shared: tuple[Masking, Path, Bucket | None]) -> int:
    """Write the masks of `source`, the samples of one shard, into a folder; return how many they are."""
    masking, scratch, store = shared
    [(shard, rows)] = source.shards()
    device = worker_device(masking.device, slot())

    def segmenter(image: np.ndarray) -> np.ndarray:  # not loaded where class labels say it all
        return _segmenter(masking.segmenter, device)(image)

    def read(row: int) -> tuple[np.ndarray, np.ndarray | None]:
        return source.image(row), source.semantic(row)

    encoded, columns = [], {"sky_fraction": [], "labeled_fraction": []}
    with torch_threads(masking.threads), ThreadPoolExecutor(HELPERS) as encoders:
        for image, semantic in ahead(read, map(int, rows), HELPERS):
            mask, labeled = sky_mask(segmenter, image, semantic, masking.sky_label, masking.threshold)
            encoded.append(encoders.submit(rasters.encode_mask, mask))
            columns["sky_fraction"].append(float(mask.mean()))
            columns["labeled_fraction"].append(labeled)
        write_sidecar_shard(scratch, source, shard, SUFFIX, (one.result() for one in encoded), columns, store)
    return len(rows)


@lru_cache(maxsize=1)
def _segmenter(name: str, device: torch.device) -> Segmenter:
    with named("params.yaml: sky.segmenter"):
        return load_segmenter(name, device)
