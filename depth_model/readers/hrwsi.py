"""HR-WSI: high-resolution stereo images from the web with disparity of unknown scale and shift."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, matching, read_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample


@dataclass(frozen=True)
class Options:
    """`split`: train (20,378 images, as in the paper) or val (400)."""

    split: Literal["train", "val"] = "train"


def _expected(options: Options) -> tuple[str, ...]:
    return tuple(f"{options.split}/{folder}" for folder in ("imgs", "gts", "valid_masks"))


def _items(root: Path, options: Options) -> Iterator[Item]:
    for image, (name,) in matching(root, f"{options.split}/imgs/*.jpg"):
        labels = (f"{options.split}/{folder}/{name}.png" for folder in ("gts", "valid_masks"))
        yield Item(safe_key(f"{options.split}/{name}"), image, (image, *labels))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, disparity, mask = item.paths
    target = formats.depth(decoded(root, disparity, formats.picture), invalid=())
    valid = formats.per_pixel(decoded(root, mask, formats.picture)) != 0
    if valid.shape != target.shape:
        raise BadInput(f"{mask}: mask of shape {valid.shape}, but the disparity has {target.shape}")
    target[~valid] = np.nan
    return Sample(item.key, read_below(root, image), target, "affine_disparity", source_path=item.source_path)


READER = Reader(
    name="hrwsi",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    layout="""
        {train,val}/imgs/<name>.jpg
        {train,val}/gts/<name>.png
        {train,val}/valid_masks/<name>.png
    """,
    description="Web stereo photographs; brighter is nearer. Sky becomes as far as the farthest pixel, as the shift is"
    " unknown.",
    unit="8-bit PNG, disparity of unknown scale and shift",
    invalid="valid_masks = 0",
    license="for research; see the repository of the authors",
    images="20,378 and 400",
    where="https://github.com/KexianHust/Structure-Guided-Ranking-Loss",
    paper="labeled, 20K (table 1): the split train",
)
