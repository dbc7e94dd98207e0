"""TUM RGB-D: Kinect recordings whose color and depth files are paired by their time stamps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, read_below, safe_key
from depth_model.reading.pairing import pairs_by_time
from depth_model.reading.reader import Reader, always
from depth_model.shards.sample import Item, Sample

# The calibration of the authors for each of the three cameras; other names get the default of the Kinect driver.
_CAMERAS = {
    "1": (517.3, 516.5, 318.6, 255.3),
    "2": (520.9, 521.0, 325.1, 249.7),
    "3": (535.4, 539.2, 320.1, 247.6),
}
_DEFAULT = (525.0, 525.0, 319.5, 239.5)


@dataclass(frozen=True)
class Options:
    """`tolerance`: how many seconds color and depth may lie apart; 0.02 as in the authors' tools."""

    tolerance: float = 0.02


def _items(root: Path, options: Options) -> Iterator[Item]:
    for color, depth, wildcards in pairs_by_time(root, "*/rgb/*.png", "*/depth/*.png", options.tolerance):
        # A depth map without its image keeps a name that no image has.
        key = "/".join(wildcards if color else ("depth", *wildcards))
        yield Item(safe_key(key), color or depth, (color, depth))


def _load(root: Path, item: Item, options: Options) -> Sample:
    color, depth = item.paths
    if not color or not depth:
        partner = "depth map" if color else "color image"
        raise BadInput(f"no {partner} within {options.tolerance:g} s")
    target = formats.depth(decoded(root, depth, formats.picture), 5000)
    camera = re.search(r"freiburg(\d)", color)
    intrinsics = _CAMERAS.get(camera[1], _DEFAULT) if camera else _DEFAULT
    return Sample(item.key, read_below(root, color), target, "metric_depth", None, intrinsics, item.source_path)


READER = Reader(
    name="tum_rgbd",
    options=Options,
    items=_items,
    load=_load,
    expected=always("*/rgb", "*/depth"),
    layout="""
        rgbd_dataset_freiburg1_desk/rgb/1305031452.791720.png
        rgbd_dataset_freiburg1_desk/depth/1305031452.814000.png
    """,
    description="Hand-held and robot recordings, 640 x 480 pixels. Images without depth in time are quarantined.",
    unit="16-bit PNG, 5000 a meter",
    invalid="0",
    license="CC BY 4.0",
    images="about 1,000 in each of some 40 recordings",
    where="https://cvg.cit.tum.de/data/datasets/rgbd-dataset/download",
    paper="not in the paper",
)
