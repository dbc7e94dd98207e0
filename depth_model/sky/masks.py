"""Where the sky is in an image, by a segmenter of choice, and the sky masks of a whole source.

A data set's own class labels come first; the segmenter decides only pixels that have none (docs/paper.md 1.2: the
paper names SegFormer). Written to the sidecar `data/sky/<name>`, one mask per labeled image.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from depth_model.shards import rasters
from depth_model.shards.source import SourceFolder, finished_shards, write_sidecar_shard
from depth_model.shards.store import Bucket

Segmenter = Callable[[np.ndarray], np.ndarray]
"""From an image, uint8 (H, W, 3), to the probability of sky, float32 (H, W) in [0, 1]."""

SUFFIX = "sky.png"
_UNKNOWN = 255


def load_segmenter(name: str) -> Segmenter:
    """Return the segmenter `name`.

    "packaged_probe" is a linear probe on the packaged encoder (`sky_probe`), "none" finds no sky anywhere, and
    anything else is a folder or hub id of a transformers segmentation model with a class "sky".
    Raises UserError when it cannot be had.
    """
    if name == "none":
        return lambda image: np.zeros(image.shape[:2], np.float32)
    if name == "packaged_probe":
        return _packaged_probe()
    from depth_model.sky.transformers_segmenter import load_transformers_segmenter

    return load_transformers_segmenter(name)


def _packaged_probe() -> Segmenter:
    from depth_model.sky import probe

    encoder, fitted = probe.packaged_encoder(), probe.read_probe()
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


def write_sky_shard(
    scratch: Path,
    source: SourceFolder,
    shard: str,
    segmenter: Segmenter,
    sky_label: int | None,
    threshold: float,
    progress: Callable[[int], None] | None = None,
    store: Bucket | None = None,
) -> None:
    """Write the sky masks of the shard named `shard` of `source` into `scratch`, unless that is done already.

    The sidecar table gets `sky_fraction` and `labeled_fraction`, the share of pixels that the data set's own
    labels decided. The shard is kept in `store` when there is one. `progress(images)` is called after each image,
    and once for a finished shard.
    """
    rows = dict(source.shards())[shard]
    if shard in finished_shards(scratch):
        if progress is not None:
            progress(len(rows))
        return
    encoded, columns = [], {"sky_fraction": [], "labeled_fraction": []}
    for row in rows:
        index = int(row)
        mask, labeled = sky_mask(segmenter, source.image(index), source.semantic(index), sky_label, threshold)
        encoded.append(rasters.encode_mask(mask))
        columns["sky_fraction"].append(float(mask.mean()))
        columns["labeled_fraction"].append(labeled)
        if progress is not None:
            progress(1)
    write_sidecar_shard(scratch, source, shard, SUFFIX, encoded, columns, store)
