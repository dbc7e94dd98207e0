"""KITTI: raw drives with the improved ground truth of the depth benchmark (accumulated LiDAR).

With a list file (Eigen split) exactly the images it names, in its order. Without one, every image of the raw drives
whose annotated depth is there. The KB crop to 352 x 1216 pixels is part of the protocol, not of the data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from depth_model.errors import BadInput
from depth_model.reading import formats, split_lists
from depth_model.reading.inputs import decoded, paths_below
from depth_model.reading.reader import Reader, always
from depth_model.reading.split_lists import first_below, folders_by_name
from depth_model.shards.sample import Item, Sample

_DRIVE = r"(?P<drive>(?P<date>\d{4}_\d\d_\d\d)_drive_\w+_sync)"
_DEPTH = re.compile(rf"(?:(?P<folder>.+)/)?{_DRIVE}/proj_depth/groundtruth/(?P<camera>image_0[23])/(?P<frame>\d+)\.png")
_IMAGE = re.compile(rf"(?:.*/)?\d{{4}}_\d\d_\d\d/{_DRIVE}/(?P<camera>image_0[23])/data/(?P<frame>\d+)\.(?:png|jpg)")


@dataclass(frozen=True)
class Options:
    """Which images.

    `list`: a list file of image, depth (or `None`) and focal length a line; lines without depth are left out as in the
    released code. Without a list: `split`, the folder `train` or `val` of the annotated depth, and `camera`, the left
    (`image_02`) or right (`image_03`) color camera; both when not given.
    """

    list: str | None = None
    split: Literal["train", "val"] | None = None
    camera: Literal["image_02", "image_03"] | None = None


def _items(root: Path, options: Options) -> Iterator[Item]:
    places = folders_by_name(root)
    if options.list is None:
        yield from _annotated(root, places, options)
        return
    for words in split_lists.lines(root, options.list):
        if len(words) < 2 or words[1] != "None":
            yield _listed(root, places, words)


def _annotated(root: Path, places: dict[str, list[str]], options: Options) -> Iterator[Item]:
    for path in paths_below(root):
        found = _DEPTH.fullmatch(path)
        if not found or options.camera not in (None, found["camera"]):
            continue
        if options.split in (None, (found["folder"] or "").rpartition("/")[2]):
            yield _item(root, places, found, path)


def _listed(root: Path, places: dict[str, list[str]], words: list[str]) -> Item:
    found = _IMAGE.fullmatch(words[0])
    if found is None or len(words) < 2:
        raise BadInput(f"list: {' '.join(words)!r} is not <date>/<drive>_sync/image_02/data/<frame>.png, depth, focal")
    depth = f"{found['drive']}/proj_depth/groundtruth/{found['camera']}/{found['frame']}.png"
    return _item(root, places, found, first_below(root, places.get(found["drive"], []), depth))


def _item(root: Path, places: dict[str, list[str]], found: re.Match[str], depth: str) -> Item:
    frame = f"{found['date']}/{found['drive']}/{found['camera']}/data/{found['frame']}"
    raw = places.get(found["date"], [])
    image = first_below(root, raw, f"{frame}.png", f"{frame}.jpg")
    calibration = first_below(root, raw, f"{found['date']}/calib_cam_to_cam.txt")
    key = f"{found['drive']}/{found['camera']}/{found['frame']}"
    return Item(key, image, (image, depth, calibration, found["camera"]))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth, calibration, camera = item.paths
    intrinsics = decoded(root, calibration, _intrinsics, camera) if (root / calibration).is_file() else None
    target = formats.depth(decoded(root, depth, formats.picture), 256)
    return Sample(item.key, decoded(root, image, bytes), target, "metric_depth", None, intrinsics, item.source_path)


def _intrinsics(data: bytes, camera: str) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy of the rectified `camera`: the row P_rect_0x holds its 3 x 4 projection."""
    found = re.search(rf"^P_rect_{camera[-2:]}:(.*)$", data.decode("ascii", "replace"), re.MULTILINE)
    try:
        values = [float(word) for word in found.group(1).split()] if found else []
    except ValueError:
        values = []
    if len(values) != 12:
        raise BadInput(f"no row P_rect_{camera[-2:]} of 12 numbers")
    return values[0], values[5], values[2], values[6]


READER = Reader(
    name="kitti",
    options=Options,
    items=_items,
    load=_load,
    watch=split_lists.watch,
    expected=always("**/proj_depth/groundtruth", "**/image_0*/data"),
    layout="""
        2011_09_26/                        (raw data; may lie in a folder of its own, such as raw/)
          calib_cam_to_cam.txt
          2011_09_26_drive_0002_sync/
            image_02/data/0000000069.png   (left color camera; image_03: right)
        data_depth_annotated/              (any name, or none)
          train/ | val/
            2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png
    """,
    description="Driving in and around Karlsruhe; raw color images with the improved ground truth of the benchmark.",
    unit="16-bit PNG, 256 = 1 m",
    invalid="0 (about 80 % of the pixels)",
    license="CC BY-NC-SA 3.0",
    images="Eigen test: 697 listed, 652 with depth; Eigen train: 23,158",
    where=(
        "https://www.cvlibs.net/datasets/kitti: raw data (synced+rectified), its calibration files, and "
        '"annotated depth maps" of the depth benchmark. List files kitti_eigen_test_files_with_gt.txt and '
        "kitti_eigen_train_files_with_gt.txt: folder metric_depth/train_test_inputs of "
        "github.com/LiheYoung/Depth-Anything (also in isl-org/ZoeDepth, cleinc/bts)"
    ),
    paper="Tables 2, 4, 6, 9, 12, 13",
)
