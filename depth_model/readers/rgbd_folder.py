"""Pairs of colour image and depth (or disparity) file in folders: RGB-D data of your own and many data sets.

Finds the pair of a colour image by the part of its path that the wildcard stands for, or by the nearest time
stamp. Reads depth from 16-bit PNG, PGM and TIFF, float TIFF and NumPy files. Depth must be planar, registered to
the colour image and of its size: distances along the ray and other conventions need a reader of their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, matching, read_below, safe_key, state_below
from depth_model.reading.pairing import pairs_by_time
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample

_WILDCARD = re.compile(r"\*|\{\}")


@dataclass(frozen=True)
class Options:
    """Where the pairs are and what the numbers mean.

    `color`, `depth`: patterns of paths below the root in which `*` (or `{}`) stands for the part of one name
    that both share. `unit`: stored value of one metre (1000 for millimetres, 5000 for TUM RGB-D, 1 for metres);
    for other target kinds the divisor. `invalid`: stored values that mean "no label"; NaN and infinite values
    always do. `match`: "wildcard" pairs files whose wildcards agree; "nearest" reads the last wildcard as a
    time stamp and pairs what is nearest, at most `tolerance` (of the same unit) apart, each file once.
    `intrinsics`: fx, fy, cx, cy in pixels, if they are the same for all.
    """

    color: str
    depth: str
    unit: float
    invalid: tuple[float, ...] = (0.0,)
    target_kind: Literal["metric_depth", "relative_depth", "disparity", "affine_disparity"] = "metric_depth"
    match: Literal["wildcard", "nearest"] = "wildcard"
    tolerance: float = 0.02
    intrinsics: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        counts = [len(_WILDCARD.findall(pattern)) for pattern in (self.color, self.depth)]
        if counts[0] != counts[1] or not counts[0]:
            raise ValueError(
                f"color {self.color!r} and depth {self.depth!r} must have the same number of wildcards *, at least one"
            )
        if not (math.isfinite(self.unit) and self.unit > 0):
            raise ValueError(f"unit = {self.unit}: must be a positive number")


def _filled(pattern: str, wildcards: tuple[str, ...]) -> str:
    literals = _WILDCARD.split(pattern)
    return literals[0] + "".join(part + literal for part, literal in zip(wildcards, literals[1:], strict=True))


def _pair(color: str, depth: str, wildcards: tuple[str, ...]) -> Item:
    return Item(safe_key("/".join(wildcards)), color, (color, depth))


def _unpaired_depth(depth: str, wildcards: tuple[str, ...]) -> Item:
    # Prefixed, so that it never takes the key of a colour image with the same time stamp.
    return Item(safe_key("/".join(("depth", *wildcards))), depth, ("", depth))


def _items(root: Path, options: Options) -> Iterator[Item]:
    return (_by_wildcard if options.match == "wildcard" else _by_time)(root, options)


def _by_wildcard(root: Path, options: Options) -> Iterator[Item]:
    for color, wildcards in matching(root, options.color):
        depth = _filled(options.depth, wildcards)
        yield _pair(color, depth if state_below(root, depth) else "", wildcards)
    for depth, wildcards in matching(root, options.depth):
        if not state_below(root, _filled(options.color, wildcards)):
            yield _unpaired_depth(depth, wildcards)


def _by_time(root: Path, options: Options) -> Iterator[Item]:
    for color, depth, wildcards in pairs_by_time(root, options.color, options.depth, options.tolerance):
        yield _pair(color, depth, wildcards) if color else _unpaired_depth(depth, wildcards)


def _load(root: Path, item: Item, options: Options) -> Sample:
    color, depth = item.paths
    if not color:
        raise BadInput(f"no colour image belongs to this depth file (pattern {options.color})")
    if not depth:
        raise BadInput(f"no depth file belongs to this image (pattern {options.depth})")
    decode = formats.npy if depth.lower().endswith(".npy") else formats.picture
    target = formats.depth(decoded(root, depth, decode), options.unit, options.invalid)
    return Sample(
        item.key, read_below(root, color), target, options.target_kind, None, options.intrinsics, item.source_path
    )


READER = Reader(
    name="rgbd_folder",
    options=Options,
    items=_items,
    load=_load,
    loose_files=True,
    layout="colour and depth files whose paths agree in their wildcards: color: rgb/*.png, depth: depth/*.png",
    description="Pairs of colour image and depth map: RGB-D recordings of your own and many data sets.",
    unit="option `unit`: the stored value of one metre",
    invalid="option `invalid` (0 unless you say otherwise); NaN and infinity always",
    licence="that of the data",
    images="as many as there are",
    where="your own recordings, and data sets without a reader of their own",
    paper="not in the paper",
)
