"""Virtual KITTI 2: five drives rendered in ten variants, with sky.

The evaluation of the paper's Table 5 took a random 8 % of the frames, unseeded (docs/paper.md 4.2). Depth Anything V2
published what is very likely the rest, 19,559 lines: with that file as `list` and `complement`, the 1701 test frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats, split_lists
from depth_model.reading.inputs import decoded, paths_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.reading.split_lists import first_below, folders_by_name
from depth_model.shards.sample import Item, Sample

SKY = 1
INTRINSICS = (725.0087, 725.0087, 620.5, 187.0)
"""Of both cameras in pixels, the same in every frame (intrinsic.txt of the release)."""

_SKY_VALUE = 65535
_IMAGE = re.compile(
    r"(?:.*/)?(?P<scene>Scene\d\d)/(?P<variant>[^/]+)/frames/rgb/(?P<camera>Camera_[01])/rgb_(?P<frame>\d{5})\.jpg"
)


@dataclass(frozen=True)
class Options:
    """Which frames.

    `list`: a list file with the image first on each line; with `complement`, what it leaves out of all frames of
    `camera` instead. Without a list every frame of `camera`; of both cameras with `camera` null.
    """

    list: str | None = None
    complement: bool = False
    camera: Literal["Camera_0", "Camera_1"] | None = "Camera_0"

    def __post_init__(self) -> None:
        if self.complement and self.list is None:
            raise ValueError("complement needs a list")


def _expected(options: Options) -> tuple[str, ...]:
    camera = options.camera or "Camera_*"
    return (f"**/frames/rgb/{camera}", f"**/frames/depth/{camera}")


def _items(root: Path, options: Options) -> Iterator[Item]:
    places = folders_by_name(root)
    if options.list is not None and not options.complement:
        for found in _listed(root, options.list):
            yield _item(root, places, found)
        return
    left_out = {_key(found) for found in _listed(root, options.list)} if options.list is not None else set()
    for path in paths_below(root):
        found = _IMAGE.fullmatch(path)
        if found and options.camera in (None, found["camera"]) and _key(found) not in left_out:
            yield _item(root, places, found)


def _listed(root: Path, name: str) -> Iterator[re.Match[str]]:
    for words in split_lists.lines(root, name):
        found = _IMAGE.fullmatch(words[0])
        if found is None:
            raise BadInput(f"list: {words[0]!r} is not Scene01/<variant>/frames/rgb/Camera_0/rgb_00000.jpg")
        yield found


def _key(found: re.Match[str]) -> str:
    return safe_key("/".join(found.group("scene", "variant", "camera", "frame")))


def _item(root: Path, places: dict[str, list[str]], found: re.Match[str]) -> Item:
    scene, variant, camera, frame = found.group("scene", "variant", "camera", "frame")
    folders = places.get(scene, [])
    image = first_below(root, folders, f"{scene}/{variant}/frames/rgb/{camera}/rgb_{frame}.jpg")
    depth = first_below(root, folders, f"{scene}/{variant}/frames/depth/{camera}/depth_{frame}.png")
    return Item(_key(found), image, (image, depth))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth = item.paths
    stored = formats.per_pixel(decoded(root, depth, formats.picture))
    if stored.dtype != np.uint16:
        raise BadInput(f"{depth}: {stored.dtype} values, not 16 bits")
    target = formats.depth(stored, 100, (0, _SKY_VALUE))
    semantic = np.where(stored == _SKY_VALUE, SKY, 0).astype(np.uint8)
    encoded = decoded(root, image, bytes)
    return Sample(item.key, encoded, target, "metric_depth", semantic, INTRINSICS, item.source_path)


READER = Reader(
    name="vkitti2",
    options=Options,
    items=_items,
    load=_load,
    watch=split_lists.watch,
    expected=_expected,
    sky_label=SKY,
    layout="""
        Scene01/
          15-deg-left/
            frames/
              rgb/Camera_0/rgb_00000.jpg
              depth/Camera_0/depth_00000.png
    """,
    description="KITTI drives rendered in other weather, light and directions, 1242 x 375 pixels.",
    unit="16-bit PNG, centimeters",
    invalid="65535 is sky (class 1, no depth), 0",
    license="CC BY-NC-SA 3.0",
    images="21,260 of each camera; test of the paper: 1701",
    where=(
        "https://europe.naverlabs.com/research/computer-vision/proxy-virtual-worlds-vkitti-2: vkitti_2.0.3_rgb.tar and "
        "vkitti_2.0.3_depth.tar, unpacked into one folder or two beside each other. The list of the other frames: "
        "metric_depth/dataset/splits/vkitti2/train.txt of github.com/DepthAnything/Depth-Anything-V2"
    ),
    paper="Table 5",
)
