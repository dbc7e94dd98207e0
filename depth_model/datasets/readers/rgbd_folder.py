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

import numpy as np

from depth_model.datasets import formats
from depth_model.datasets.inputs import decoded, matching, read_below, safe_key
from depth_model.datasets.sample import BadInput, Item, Reader, Sample

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
        yield _pair(color, depth if (root / depth).is_file() else "", wildcards)
    for depth, wildcards in matching(root, options.depth):
        if not (root / _filled(options.color, wildcards)).is_file():
            yield _unpaired_depth(depth, wildcards)


def _by_time(root: Path, options: Options) -> Iterator[Item]:
    """Yield the pairs of each recording: the paths of one recording are in memory at a time, not their content."""
    colors, depths = _recordings(root, options.color), _recordings(root, options.depth)
    for recording in sorted(colors.keys() | depths.keys()):
        color, depth = colors.get(recording, {}), depths.get(recording, {})
        partners = _nearest_in_time(list(color), list(depth), options.tolerance)
        for stamp, path in color.items():
            yield _pair(path, depth[partners[stamp]] if stamp in partners else "", (*recording, stamp))
        paired = set(partners.values())
        yield from (_unpaired_depth(depth[one], (*recording, one)) for one in depth if one not in paired)


def _recordings(root: Path, pattern: str) -> dict[tuple[str, ...], dict[str, str]]:
    recordings: dict[tuple[str, ...], dict[str, str]] = {}
    for path, (*recording, stamp) in matching(root, pattern):
        recordings.setdefault(tuple(recording), {})[stamp] = path
    return recordings


def _nearest_in_time(colors: list[str], depths: list[str], tolerance: float) -> dict[str, str]:
    """Return {colour stamp: depth stamp}: of all that lie within `tolerance`, the nearest two pair first."""
    of_colors, of_depths = _numbers(colors), _numbers(depths)
    order = np.argsort(of_depths, kind="stable")
    starts = np.searchsorted(of_depths[order], of_colors - tolerance, side="left")
    ends = np.searchsorted(of_depths[order], of_colors + tolerance, side="right")
    candidates = sorted(
        (abs(of_colors[color] - of_depths[depth]), colors[color], depths[depth])
        for color, (start, end) in enumerate(zip(starts, ends, strict=True))
        for depth in order[start:end]
    )
    partners: dict[str, str] = {}
    taken = set()
    for _, color, depth in candidates:
        if color not in partners and depth not in taken:
            partners[color] = depth
            taken.add(depth)
    return partners


def _numbers(stamps: list[str]) -> np.ndarray:
    try:
        return np.array([float(stamp) for stamp in stamps], np.float64)
    except ValueError as error:
        raise BadInput(f"match: nearest needs file names that are time stamps: {error}") from error


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
    layout="colour and depth files whose paths agree in their wildcards: color: rgb/*.png, depth: depth/*.png",
    description="Pairs of colour image and depth map: RGB-D recordings of your own and many data sets.",
    unit="option `unit`: the stored value of one metre",
    invalid="option `invalid` (0 unless you say otherwise); NaN and infinity always",
    licence="that of the data",
    images="as many as there are",
    where="your own recordings, and data sets without a reader of their own",
    paper="not in the paper",
)
