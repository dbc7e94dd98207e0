"""Cityscapes with fine annotation: 19 classes of streets, everything else ignored.

Reads the label images with training ids that the scripts of the release make, or the plain label ids, which are mapped
in the same way.
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
from depth_model.reading.split_lists import first_below, folders_by_name
from depth_model.shards.sample import Item, Sample

CLASSES = 19
SKY = 10

_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label ids of the training ids 0 to 18."""

_IMAGE = re.compile(
    r"(?:.*/)?leftImg8bit/(?P<frame>(?P<split>train|val)/(?P<city>[^/]+)/(?P<name>[^/]+))_leftImg8bit\.png"
)


@dataclass(frozen=True)
class Options:
    """Which images: one `split`, or both; the labels of the test images are not public."""

    split: Literal["train", "val"] | None = None


def _expected(options: Options) -> tuple[str, ...]:
    split = options.split or "*"
    return (f"**/leftImg8bit/{split}", f"**/gtFine/{split}")


def _items(root: Path, options: Options) -> Iterator[Item]:
    places = folders_by_name(root)
    for path in paths_below(root):
        found = _IMAGE.fullmatch(path)
        if found and options.split in (None, found["split"]):
            start = f"gtFine/{found['frame']}_gtFine"
            names = (f"{start}_labelTrainIds.png", f"{start}_labelIds.png")
            labels = first_below(root, places.get("gtFine", []), *names)
            yield Item(safe_key(found["frame"]), path, (path, labels))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, labels = item.paths
    semantic = decoded(root, labels, _classes, labels.endswith("_labelTrainIds.png"))
    return Sample(item.key, decoded(root, image, bytes), semantic=semantic, source_path=item.source_path)


def _classes(data: bytes, training_ids: bool) -> np.ndarray:
    """Return classes 0 to 18, uint8 (H, W), 255 for every other label."""
    stored = formats.per_pixel(formats.picture(data))
    if stored.dtype != np.uint8:
        raise BadInput(f"{stored.dtype} labels, not 8 bits")
    table = np.full(256, 255, np.uint8)
    table[list(range(CLASSES) if training_ids else _LABEL_IDS)] = np.arange(CLASSES)
    return table[stored]


READER = Reader(
    name="cityscapes",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    sky_label=SKY,
    layout="""
        leftImg8bit/
          train/aachen/aachen_000000_000019_leftImg8bit.png    (and val/)
        gtFine/
          train/aachen/aachen_000000_000019_gtFine_labelTrainIds.png    (or ..._labelIds.png)
    """,
    description="Streets of 50 cities seen from a car, 2048 x 1024 pixels.",
    unit="8-bit PNG, training ids, or label ids that are mapped to them",
    invalid="every label that is not one of the 19 classes",
    license="own terms: non-commercial",
    images="2975 for training, 500 for validation",
    where="https://www.cityscapes-dataset.com (leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip)",
    paper="Tables 7, 10",
)
