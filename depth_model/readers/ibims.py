"""iBims-1: 100 rooms photographed and scanned, with masks of what the scanner could not see rightly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, paths_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample

_IMAGE = re.compile(r"(?P<folder>(?:.*/)?)rgb/(?P<name>[^/]+)\.png")
_MASKS = ("mask_invalid", "mask_transp")


@dataclass(frozen=True)
class Options:
    """`masks`: leave out what lies outside of `mask_invalid` and `mask_transp`, as the released evaluation does."""

    masks: bool = True


def _expected(options: Options) -> tuple[str, ...]:
    return tuple(f"**/{folder}/*.png" for folder in ("rgb", "depth", *(_MASKS if options.masks else ())))


def _items(root: Path, options: Options) -> Iterator[Item]:
    for path in paths_below(root):
        if found := _IMAGE.fullmatch(path):
            folders = ("depth", *_MASKS)
            others = tuple(f"{found['folder']}{folder}/{found['name']}.png" for folder in folders)
            yield Item(safe_key(found["name"]), path, (path, *others, f"{found['folder']}calib/{found['name']}.txt"))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth, *masks, calibration = item.paths
    target = formats.depth(decoded(root, depth, formats.picture), 65535 / 50)
    for mask in masks if options.masks else ():
        usable = formats.per_pixel(decoded(root, mask, formats.picture))
        if usable.shape != target.shape:
            raise BadInput(f"{mask}: shape {usable.shape}, but the depth has {target.shape}")
        target[usable == 0] = np.nan
    intrinsics = decoded(root, calibration, _intrinsics) if (root / calibration).is_file() else None
    return Sample(item.key, decoded(root, image, bytes), target, "metric_depth", None, intrinsics, item.source_path)


def _intrinsics(data: bytes) -> tuple[float, float, float, float]:
    """Return the first four numbers of a calibration file, separated by commas or spaces: fx, fy, cx, cy."""
    try:
        fx, fy, cx, cy = (float(word) for word in data.replace(b",", b" ").split()[:4])
    except ValueError as error:
        raise BadInput("not fx, fy, cx, cy") from error
    return fx, fy, cx, cy


READER = Reader(
    name="ibims",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    layout="""
        ibims1_core_raw/
          rgb/corridor_01.png
          depth/corridor_01.png
          mask_invalid/corridor_01.png
          mask_transp/corridor_01.png
          calib/corridor_01.txt          (optional: fx, fy, cx, cy)
    """,
    description="Rooms with dense and accurate depth up to 50 m, 640 x 480 pixels.",
    unit="16-bit PNG, 65535 = 50 m",
    invalid="0, and 0 in either mask (255 is usable)",
    license="for research; see its page",
    images="100",
    where="https://www.asg.ed.tum.de/lmf/ibims1 (ibims1_core_raw.zip, from the university's FTP server)",
    paper="Table 5",
)
