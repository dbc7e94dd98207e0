"""Middlebury stereo: indoor scenes with very accurate disparity of the left image.

The releases of 2014 and 2021 come with a calibration, so that disparity becomes metric depth; the two principal
points differ, and disparity alone would be inverse depth only up to a shift. Those of 2001 to 2006 have none.
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
from depth_model.reading.inputs import decoded, matching, read_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample

_FILES = {"2014": ("im0.png", "disp0.pfm", "calib.txt"), "2003": ("im2.png", "disp2.png")}
_CAMERA = re.compile(r"^cam0=\[(\S+) \S+ (\S+?); ?\S+ (\S+) (\S+?);", re.MULTILINE)


@dataclass(frozen=True)
class Options:
    """Which release.

    `release`: 2014 (and 2021), or 2003. `scale`: stored value of one pixel of disparity in that of 2003, 4 for the
    quarter-size images, 2 for half, 1 for full size.
    """

    release: Literal["2014", "2003"] = "2014"
    scale: float = 4.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"scale = {self.scale}: must be positive")


def _expected(options: Options) -> tuple[str, ...]:
    return tuple(f"*/{name}" for name in _FILES[options.release])


def _items(root: Path, options: Options) -> Iterator[Item]:
    image, *others = _FILES[options.release]
    for path, (scene,) in matching(root, f"*/{image}"):
        yield Item(safe_key(scene), path, (path, *(f"{scene}/{name}" for name in others)))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, disparity, *calibration = item.paths
    if not calibration:
        target, kind = formats.depth(decoded(root, disparity, formats.picture), options.scale), "disparity"
        return Sample(item.key, read_below(root, image), target, kind, source_path=item.source_path)
    stored = formats.per_pixel(decoded(root, disparity, formats.pfm))
    target, intrinsics = decoded(root, calibration[0], _metric, stored)
    return Sample(item.key, read_below(root, image), target, "metric_depth", None, intrinsics, item.source_path)


def _metric(calibration: bytes, disparity: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Return (depth in meters, intrinsics) of a disparity map: Z = f * baseline / (d + doffs), baseline in mm."""
    text = calibration[:4096].decode("ascii", "replace")
    camera = _CAMERA.search(text)
    others = [re.search(rf"^{name}=(\S+)", text, re.MULTILINE) for name in ("baseline", "doffs")]
    try:
        fx, cx, fy, cy = (float(number) for number in camera.groups())
        baseline, offset = (float(found[1]) for found in others)
    except (AttributeError, TypeError, ValueError) as error:
        raise BadInput("no cam0, baseline and doffs in the calibration") from error
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = fx * baseline / 1000 / (disparity.astype(np.float64) + offset)
    depth[~np.isfinite(disparity) | (depth <= 0)] = np.nan
    return formats.depth(depth), (fx, fy, cx, cy)


READER = Reader(
    name="middlebury",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    layout="""
        release: "2014"
          <scene, as Motorcycle-perfect>/im0.png
          <scene>/disp0.pfm
          <scene>/calib.txt
        release: "2003"
          <scene, as cones>/im2.png
          <scene>/disp2.png
    """,
    description="Table-top and room scenes, the left view. Disparity becomes metric where there is a calibration.",
    unit="disparity in pixels: float32 PFM (2014, 2021), 8-bit PNG times the scale (2003)",
    invalid="infinite (2014, 2021), 0 (2003)",
    license="free for research",
    images="23 with depth (2014), 24 (2021), 2 (2003)",
    where="https://vision.middlebury.edu/stereo/data",
    paper="not in the paper",
)
