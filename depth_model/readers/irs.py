"""IRS: rendered indoor stereo with disparity in pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_model.reading import formats
from depth_model.reading.inputs import decoded, matching, read_below, safe_key
from depth_model.reading.reader import Reader, always
from depth_model.shards.sample import Item, Sample

# Of the authors: 960 x 540 pixels and a field of view of 90 degrees; the center of the image is that of projection.
_INTRINSICS = (480.0, 480.0, 479.5, 269.5)


@dataclass(frozen=True)
class Options:
    """None: all left images below the root, as in the paper."""


def _items(root: Path, options: Options) -> Iterator[Item]:
    for image, (place, scene, number) in matching(root, "*/*/l_*.png"):
        yield Item(safe_key(f"{place}/{scene}/{number}"), image, (image, f"{place}/{scene}/d_{number}.exr"))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, disparity = item.paths
    target = formats.depth(decoded(root, disparity, formats.exr), invalid=())
    target[target < 0] = np.nan
    return Sample(item.key, read_below(root, image), target, "disparity", None, _INTRINSICS, item.source_path)


READER = Reader(
    name="irs",
    options=Options,
    items=_items,
    load=_load,
    expected=always("*/*/l_*.png", "*/*/d_*.exr"),
    layout="""
        {Home,Office,Restaurant,Store}/<scene>/l_<number>.png     (r_, n_: right image and normals, not read)
        {Home,Office,Restaurant,Store}/<scene>/d_<number>.exr
    """,
    description="Rendered homes, offices, restaurants and shops at day, night and in the dark; 960 x 540 pixels.",
    unit="float OpenEXR of one channel, disparity in pixels of the left image",
    invalid="negative and NaN; 0 is infinitely far",
    license="for research; see the repository of the authors",
    images="103,316",
    where="https://github.com/HKBU-HPML/IRS",
    paper="labeled, 103K (table 1): training and test lists together",
)
