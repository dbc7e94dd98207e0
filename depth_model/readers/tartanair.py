"""TartanAir: rendered flights through indoor and outdoor environments, left camera.

Its depth says where the sky is (10,000 m and more), which becomes a class label of its own and no depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from depth_model.reading import formats
from depth_model.reading.inputs import decoded, matching, read_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample

SKY_FROM = 10_000.0
"""Meters: what is stored as at least so far away is sky."""

NOT_SKY, SKY, UNKNOWN = 0, 1, 255
_INTRINSICS = (320.0, 320.0, 320.0, 240.0)
_WRONG_SKY = ("amusement",)


@dataclass(frozen=True)
class Options:
    """Which trajectories: of `difficulty` both, Easy or Hard, without the environments in `exclude`.

    The sky of `amusement` is a dome of wrong, finite depth: exclude it where that matters.
    """

    difficulty: Literal["both", "Easy", "Hard"] = "both"
    exclude: tuple[str, ...] = ()


def _expected(options: Options) -> tuple[str, ...]:
    difficulty = "*" if options.difficulty == "both" else options.difficulty
    return (f"*/{difficulty}/P*/image_left", f"*/{difficulty}/P*/depth_left")


def _items(root: Path, options: Options) -> Iterator[Item]:
    difficulty = "*" if options.difficulty == "both" else options.difficulty
    for image, (environment, *_, number) in matching(root, f"*/{difficulty}/P*/image_left/*_left.png"):
        if environment not in options.exclude:
            folder = image.rsplit("/", 2)[0]
            depth = f"{folder}/depth_left/{number}_left_depth.npy"
            yield Item(safe_key(f"{folder}/{number}"), image, (image, depth))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth = item.paths
    stored = formats.per_pixel(decoded(root, depth, formats.npy))
    sky = stored >= SKY_FROM  # also infinite depth
    target = formats.depth(stored)
    target[sky | (target < 0)] = np.nan
    semantic = np.where(sky, SKY, np.where(np.isnan(target), UNKNOWN, NOT_SKY)).astype(np.uint8)
    if image.split("/")[0] in _WRONG_SKY:
        semantic[:] = UNKNOWN
    data = read_below(root, image)
    return Sample(item.key, data, target, "metric_depth", semantic, _INTRINSICS, item.source_path)


READER = Reader(
    name="tartanair",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    sky_label=SKY,
    layout="""
        <environment>/{Easy,Hard}/P000/image_left/000000_left.png
        <environment>/{Easy,Hard}/P000/depth_left/000000_left_depth.npy
    """,
    description="30 rendered environments, 640 x 480 pixels. A backdrop seen through a window may lie at thousands of"
    " meters and keeps its depth. The sky dome of `amusement` has a wrong, finite depth: its class labels leave the sky"
    " unknown.",
    unit="float32 NumPy, meters, planar",
    invalid="0, negative, NaN; 10,000 and more is sky (class 1, no depth)",
    license="CC BY 4.0",
    images="306,637 left images",
    where="https://theairlab.org/tartanair-dataset (image_left and depth_left of each environment)",
    paper="labeled, 306K (table 1): all left images, Easy and Hard",
)
