"""ADE20K in the form of the scene parsing challenge: 150 classes, 0 to 149 here, everything else ignored.

The full ADE20K release with its thousands of classes and parts is another format and not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, paths_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample

CLASSES = 150
SKY = 2

_IMAGE = re.compile(r"(?P<folder>(?:.*/)?)images/(?P<split>training|validation)/(?P<name>[^/]+)\.jpg")


@dataclass(frozen=True)
class Options:
    """Which images: one `split`, or both."""

    split: Literal["training", "validation"] | None = None


def _expected(options: Options) -> tuple[str, ...]:
    split = options.split or "*"
    return (f"**/images/{split}/*.jpg", f"**/annotations/{split}/*.png")


def _items(root: Path, options: Options) -> Iterator[Item]:
    for path in paths_below(root):
        found = _IMAGE.fullmatch(path)
        if found and options.split in (None, found["split"]):
            labels = f"{found['folder']}annotations/{found['split']}/{found['name']}.png"
            yield Item(safe_key(f"{found['split']}/{found['name']}"), path, (path, labels))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, labels = item.paths
    semantic = decoded(root, labels, _classes)
    return Sample(item.key, decoded(root, image, bytes), semantic=semantic, source_path=item.source_path)


def _classes(data: bytes) -> np.ndarray:
    """Return classes 0 to 149, uint8 (H, W); 0 on disk is "other" and becomes 255 (reduce zero label)."""
    stored = formats.per_pixel(formats.picture(data))
    if stored.dtype != np.uint8 or stored.max() > CLASSES:
        raise BadInput(f"{stored.dtype} labels up to {stored.max()}, not those of {CLASSES} classes in 8 bits")
    return np.where(stored == 0, 255, stored - 1).astype(np.uint8)


READER = Reader(
    name="ade20k",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    sky_label=SKY,
    layout="""
        ADEChallengeData2016/
          images/
            training/ADE_train_00000001.jpg
            validation/ADE_val_00000001.jpg
          annotations/
            training/ADE_train_00000001.png
            validation/ADE_val_00000001.png
    """,
    description="Scenes of all kinds with 150 classes of things and surfaces.",
    unit="8-bit PNG, class + 1",
    invalid="0 (other or unlabeled)",
    license="images: non-commercial research; annotations: BSD 3-clause",
    images="20,210 for training, 2000 for validation",
    where="http://sceneparsing.csail.mit.edu (ADEChallengeData2016.zip)",
    paper="Tables 8, 10, 11",
)
