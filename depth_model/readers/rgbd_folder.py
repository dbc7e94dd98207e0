"""Pairs of color image and depth (or disparity) file in folders: RGB-D data of your own and many data sets.

Finds the pair of a color image by the part of its path that the wildcard stands for, or by the nearest time
stamp. Reads the formats of `formats.stored`. Depth must be planar and registered to the color image: distances along
the ray and other conventions need a reader of their own.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import (
    WILDCARD,
    decoded,
    filled,
    matching,
    read_below,
    safe_key,
    state_below,
    wildcard,
)
from depth_model.reading.pairing import pairs_by_time
from depth_model.reading.reader import Reader
from depth_model.shards.images import stored_shape
from depth_model.shards.sample import Item, Sample


@dataclass(frozen=True)
class Options:
    """Where the pairs are and what the numbers mean.

    `color`, `depth`: patterns of paths below the root in which `*` (or `{}`) stands for the part of one name
    that both share, and `**/` for folders that both share. `unit`: stored value of one meter (1000 for millimeters,
    5000 for TUM RGB-D, 1 for meters); for other target kinds the divisor. Instead of it, `range`: what the lowest and
    the highest code (0 and 255, or 65535) stand for, in meters; [80, 0] says that 0 is farthest. `coding`: "linear";
    "log", codes are evenly spaced in the logarithm of `range`; "rgb24", a code is R + 256 G + 65536 B, divided by
    `unit`. `invalid`: stored values that mean "no label"; NaN, infinite and no-data values of floats always do. `name`
    of the array in NPZ, HDF5 and OpenEXR files that hold several. `resize`: depth smaller or larger than its picture,
    of the same shape, is brought to its size, nearest pixel. `match`: "wildcard" pairs files whose wildcards agree;
    "nearest" reads the last wildcard as a time stamp and pairs what is nearest, at most `tolerance` (of the same unit)
    apart, each file once. `intrinsics`: fx, fy, cx, cy in pixels, if they are the same for all. `follow_links`: links
    may lead out of the root.
    """

    color: str
    depth: str
    unit: float | None = None
    invalid: tuple[float, ...] = (0.0,)
    target_kind: Literal["metric_depth", "relative_depth", "disparity", "affine_disparity"] = "metric_depth"
    match: Literal["wildcard", "nearest"] = "wildcard"
    tolerance: float = 0.02
    intrinsics: tuple[float, float, float, float] | None = None
    range: tuple[float, float] | None = None
    coding: Literal["linear", "log", "rgb24"] = "linear"
    name: str | None = None
    resize: bool = False
    follow_links: bool = False

    def __post_init__(self) -> None:
        color, depth = (WILDCARD.findall(pattern.replace("{}", "*")) for pattern in (self.color, self.depth))
        if color != depth or not color:
            raise ValueError(
                f"color {self.color!r} and depth {self.depth!r} must have the same number of wildcards *, at least one"
                " (and the same of **/, in the same order)"
            )
        if (self.unit is None) == (self.range is None):
            raise ValueError("unit, or range instead of it, must be given: what the stored values stand for")
        if self.unit is not None and not (math.isfinite(self.unit) and self.unit > 0):
            raise ValueError(f"unit = {self.unit}: must be a positive number")
        if self.range is not None and self.coding == "rgb24":
            raise ValueError("coding rgb24 needs a unit, not a range")
        if self.coding == "log" and (self.range is None or min(self.range) <= 0):
            raise ValueError("coding log needs a range of positive numbers")


def _pair(color: str, depth: str, wildcards: tuple[str, ...]) -> Item:
    return Item(_key(wildcards), color, (color, depth))


def _unpaired_depth(depth: str, wildcards: tuple[str, ...]) -> Item:
    # Prefixed, so that it never takes the key of a color image with the same time stamp.
    return Item(_key(("depth", *wildcards)), depth, ("", depth))


def _key(wildcards: tuple[str, ...]) -> str:
    return safe_key("/".join(part for one in wildcards if (part := one.strip("/"))))


def _claims(options: Options) -> Callable[[str], bool]:
    both = [wildcard(pattern, ignore_case=True) for pattern in (options.color, options.depth)]
    return lambda path: any(one.fullmatch(path) for one in both)


def _items(root: Path, options: Options) -> Iterator[Item]:
    return (_by_wildcard if options.match == "wildcard" else _by_time)(root, options)


def _by_wildcard(root: Path, options: Options) -> Iterator[Item]:
    of_depth = wildcard(options.depth, ignore_case=True)
    for color, wildcards in matching(root, options.color, ignore_case=True):
        if (found := of_depth.fullmatch(color)) and _partner(root, options.color, found.groups()) not in ("", color):
            continue  # 0_depth.png, which *.png finds beside 0.png
        yield _pair(color, _partner(root, options.depth, wildcards), wildcards)
    for depth, wildcards in matching(root, options.depth, ignore_case=True):
        if not _partner(root, options.color, wildcards):
            yield _unpaired_depth(depth, wildcards)


def _partner(root: Path, pattern: str, wildcards: tuple[str, ...]) -> str:
    """Return the file of `pattern` with these `wildcards`, "" when there is none.

    One system composes accents in file names that another takes apart, and cameras write .PNG, programs .png.
    """
    forms = [wildcards, *(tuple(unicodedata.normalize(form, one) for one in wildcards) for form in ("NFC", "NFD"))]
    for path in dict.fromkeys(filled(pattern, form) for form in forms):
        start, dot, suffix = path.rpartition(".")
        for one in (path, start + dot + suffix.upper(), start + dot + suffix.lower()):
            if state_below(root, one):
                return one
    return ""


def _by_time(root: Path, options: Options) -> Iterator[Item]:
    for color, depth, wildcards in pairs_by_time(root, options.color, options.depth, options.tolerance):
        yield _pair(color, depth, wildcards) if color else _unpaired_depth(depth, wildcards)


def _load(root: Path, item: Item, options: Options) -> Sample:
    color, depth = item.paths
    if not color:
        raise BadInput(f"no color image belongs to this depth file (pattern {options.color})")
    if not depth:
        raise BadInput(f"no depth file belongs to this image (pattern {options.depth})")
    image = read_below(root, color)
    target = decoded(root, depth, _target, options)
    if target.shape != (shape := stored_shape(image)):
        target = _resized(target, shape, options.resize)
    return Sample(item.key, image, target, options.target_kind, None, options.intrinsics, item.source_path)


def _target(data: bytes, options: Options) -> np.ndarray:
    """Return depth or disparity, float32 (H, W), of a depth file."""
    stored = formats.stored(data, options.name)
    if options.coding == "rgb24" and stored.ndim == 3 and stored.shape[2] == 3 and stored.dtype == np.uint8:
        stored = stored.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
    elif stored.ndim == 3 and stored.shape[2] >= 3:
        raise BadInput("a colored picture, not one number per pixel (coding: rgb24 reads R + 256 G + 65536 B)")
    if options.range is None:
        if stored.dtype == np.uint8 and options.target_kind == "metric_depth":
            raise BadInput("8 bits hold no meters: give the option range, what codes 0 and 255 stand for, not unit")
        return formats.depth(stored, options.unit, options.invalid)
    return _decoded_range(formats.per_pixel(stored), options)


def _decoded_range(stored: np.ndarray, options: Options) -> np.ndarray:
    if stored.dtype not in (np.uint8, np.uint16):
        raise BadInput(f"{stored.dtype} values: the option range is for codes of 8 or 16 bits; give unit")
    low, high = options.range
    share = stored.astype(np.float64) / np.iinfo(stored.dtype).max
    values = low * (high / low) ** share if options.coding == "log" else low + (high - low) * share
    values[np.isin(stored, options.invalid)] = np.nan
    return values.astype(np.float32)


def _resized(target: np.ndarray, shape: tuple[int, int], wanted: bool) -> np.ndarray:
    (height, width), (rows, columns) = shape, target.shape
    said = f"depth of {rows} x {columns} pixels for a picture of {height} x {width}"
    if abs(rows * width - columns * height) > max(height, width):
        raise BadInput(f"{said}: of another shape, so that it is not registered to the picture (or turned)")
    if not wanted:
        raise BadInput(f"{said}: the option resize: true brings it to the size of the picture")
    return cv2.resize(target, (width, height), interpolation=cv2.INTER_NEAREST)


READER = Reader(
    name="rgbd_folder",
    options=Options,
    items=_items,
    load=_load,
    claims=_claims,
    loose_files=True,
    layout="color and depth files whose paths agree in their wildcards: color: rgb/*.png, depth: depth/*.png",
    description="Pairs of color image and depth map: RGB-D recordings of your own and many data sets.",
    unit="option `unit`: the stored value of one meter",
    invalid="option `invalid` (0 unless you say otherwise); NaN and infinity always",
    license="that of the data",
    images="as many as there are",
    where="your own recordings, and data sets without a reader of their own",
    paper="not in the paper",
)
