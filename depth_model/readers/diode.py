"""DIODE: rooms and streets seen by one laser scanner, depth with its validity mask.

Depth is taken as planar, as all loaders of the field do; the release does not say so. Mind the spelling of the two
domains, "indoors" and "outdoor".
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

INTRINSICS = (886.81, 927.06, 512.0, 384.0)
"""In pixels, of the virtual camera that cut the images out of the scans (intrinsics.txt of the devkit)."""

_IMAGE = re.compile(r"(?P<folder>(?:.*/)?)(?P<name>\d+_\d+_(?P<domain>indoors|outdoor)_\d+_\d+)\.png")


@dataclass(frozen=True)
class Options:
    """Which images: one `split`, a folder of the release, and one `domain`; both when not given.

    `masks`: leave out what the masks call invalid; the released evaluation of metric depth loads them and does not.
    """

    split: Literal["train", "val"] | None = None
    domain: Literal["indoors", "outdoor"] | None = None
    masks: bool = True


def _expected(options: Options) -> tuple[str, ...]:
    domain = options.domain or "*"
    start = f"**/{options.split}/**" if options.split else "**"
    return (f"{start}/*_{domain}_*.png", f"{start}/*_{domain}_*_depth.npy", f"{start}/*_{domain}_*_depth_mask.npy")


def _items(root: Path, options: Options) -> Iterator[Item]:
    for path in paths_below(root):
        found = _IMAGE.fullmatch(path)
        if not found or options.domain not in (None, found["domain"]):
            continue
        if options.split is None or options.split in found["folder"].split("/"):
            start = path.removesuffix(".png")
            yield Item(safe_key(start), path, (path, f"{start}_depth.npy", f"{start}_depth_mask.npy"))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth, mask = item.paths
    target = formats.depth(decoded(root, depth, formats.npy))
    valid = formats.per_pixel(decoded(root, mask, formats.npy))
    if valid.shape != target.shape:
        raise BadInput(f"{mask}: shape {valid.shape}, but the depth has {target.shape}")
    if options.masks:
        target[valid != 1] = np.nan
    return Sample(item.key, decoded(root, image, bytes), target, "metric_depth", None, INTRINSICS, item.source_path)


READER = Reader(
    name="diode",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    layout="""
        val/                                   (or train/)
          indoors/                             (or outdoor/)
            scene_00019/scan_00183/
              00019_00183_indoors_000_010.png
              00019_00183_indoors_000_010_depth.npy
              00019_00183_indoors_000_010_depth_mask.npy
    """,
    description="Rooms and streets of two cities with dense depth up to 350 m, 1024 x 768 pixels.",
    unit="meters, float32 NumPy (H, W, 1)",
    invalid="mask 0",
    license="MIT",
    images="25,458 for training; for validation 325 indoors and 446 outdoor",
    where="https://diode-dataset.org (train.tar.gz, val.tar.gz)",
    paper="Tables 2, 6, 9, 12, 13 (indoors), table 5 (outdoor)",
)
