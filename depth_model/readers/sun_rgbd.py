"""SUN RGB-D: the official folders with bit-rotated depth, or the converted copy that the released evaluation reads.

The converted copy numbers the official test images; its depth is divided by 10,000 in the released evaluation code of
Depth Anything, and its writers seem to have meant 6553.5 (10 m = 65535), which is why Table 5 has such large errors on
this set (docs/paper.md 4.2). Depth beyond 8 m, where the toolbox cuts off, is left to the protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats, matlab, split_lists
from depth_model.reading.inputs import decoded, paths_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample

_SPLIT_FILES = tuple(
    f"{folder}allsplit.mat" for folder in ("SUNRGBDtoolbox/traintestSUNRGBD/", "traintestSUNRGBD/", "")
)
_FOLDERS = {"raw": "depth", "filled": "depth_bfx"}
_IMAGE = re.compile(r"(?P<scene>(?:.+/)?)image/[^/]+\.jpg")
_CONVERTED = re.compile(r"(?P<folder>(?:.*/)?)rgb/img-(?P<number>\d+)\.jpg")


@dataclass(frozen=True)
class Options:
    """Which convention, images and depth.

    `convention`: `official` folders, or the `converted` copy with `unit` as the stored value of one meter. For
    official folders: `split` as `allsplit.mat` of the toolbox tells it, looked for below the root unless `list` names
    it; everything when not given; and `depth`, `raw` of the sensor or `filled` in by the authors from other views.
    """

    convention: Literal["official", "converted"] = "official"
    split: Literal["train", "test"] | None = None
    list: str | None = None
    depth: Literal["raw", "filled"] = "raw"
    unit: float = 10000.0

    def __post_init__(self) -> None:
        if not self.unit > 0:
            raise ValueError(f"unit = {self.unit}: must be a positive number")
        if self.list is not None and self.split is None:
            raise ValueError("list needs a split: the file names the images of both")


def _expected(options: Options) -> tuple[str, ...]:
    if options.convention == "converted":
        return ("**/rgb/img-*.jpg", "**/depth/*.png")
    return ("**/image/*.jpg", f"**/{_FOLDERS[options.depth]}/*.png")


def _items(root: Path, options: Options) -> Iterator[Item]:
    if options.convention == "converted":
        return _converted(root)
    return _found(root, options) if options.split is None else _split(root, options)


def _converted(root: Path) -> Iterator[Item]:
    for path in paths_below(root):
        if found := _CONVERTED.fullmatch(path):
            depth = f"{found['folder']}depth/{int(found['number'])}.png"
            yield Item(safe_key(path.rpartition(".")[0]), path, (path, depth, ""))


def _found(root: Path, options: Options) -> Iterator[Item]:
    for path in paths_below(root):
        if found := _IMAGE.fullmatch(path):
            yield _item(root, found["scene"], path, options)


def _split(root: Path, options: Options) -> Iterator[Item]:
    """Yield the images of the split that are there, in its order; it names folders of its authors' machine."""
    folders = ("", "SUNRGBD/")
    for name in _split_names(root, options):
        scene = name.rpartition("/SUNRGBD/")[2].strip("/") + "/"
        present = next((folder + scene for folder in folders if (root / folder / scene / "image").is_dir()), None)
        for path in _files(root, f"{present}image", ".jpg") if present else []:
            yield _item(root, present, path, options)


def _split_names(root: Path, options: Options) -> list[str]:
    if options.list is not None:
        names = decoded((root / options.list).parent, Path(options.list).name, matlab.variable, f"all{options.split}")
    else:
        file = split_lists.first_below(root, [""], *_SPLIT_FILES)
        names = decoded(root, file, matlab.variable, f"all{options.split}")
    if not isinstance(names, list):
        raise BadInput(f"all{options.split} of the split file is not a list of folders")
    return names


def _item(root: Path, scene: str, image: str, options: Options) -> Item:
    folder = f"{scene}{_FOLDERS[options.depth]}"
    depth = next(iter(_files(root, folder, ".png")), f"{folder}/*.png")
    return Item(safe_key(f"{scene}{Path(image).stem}"), image, (image, depth, f"{scene}intrinsics.txt"))


def _files(root: Path, folder: str, suffix: str) -> list[str]:
    if not (root / folder).is_dir():
        return []
    return [f"{folder}/{path.name}" for path in sorted((root / folder).iterdir()) if path.suffix == suffix]


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth, calibration = item.paths
    target = decoded(root, depth, _converted_depth if options.convention == "converted" else official_depth, options)
    intrinsics = decoded(root, calibration, _intrinsics) if calibration and (root / calibration).is_file() else None
    return Sample(item.key, decoded(root, image, bytes), target, "metric_depth", None, intrinsics, item.source_path)


def _converted_depth(data: bytes, options: Options) -> np.ndarray:
    return formats.depth(formats.picture(data), options.unit)


def official_depth(data: bytes, options: Options | None = None) -> np.ndarray:
    """Return the depth of an official PNG in meters, float32 (H, W), NaN where there is none.

    The 16 bits are millimeters turned left by three; the low bits are part of the value. Raises BadInput for
    anything but a 16-bit picture.
    """
    stored = formats.per_pixel(formats.picture(data))
    if stored.dtype != np.uint16:
        raise BadInput(f"{stored.dtype} values, not 16 bits: this is not depth of the official release")
    return formats.depth((stored >> 3) | (stored << 13), 1000)


def _intrinsics(data: bytes) -> tuple[float, float, float, float]:
    try:
        values = [float(word) for word in data.split()]
    except ValueError:
        values = []
    if len(values) != 9:
        raise BadInput("not a camera matrix of 9 numbers")
    return values[0], values[4], values[2], values[5]


READER = Reader(
    name="sun_rgbd",
    options=Options,
    items=_items,
    load=_load,
    watch=split_lists.watch,
    expected=_expected,
    layout="""
        SUNRGBD/                           (kv1, kv2, realsense, xtion)
          kv1/b3dodata/img_0063/
            image/img_0063.jpg
            depth/img_0063_abs.png         (of the sensor)
            depth_bfx/img_0063_abs.png     (filled in)
            intrinsics.txt
        SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat

        or converted:
        rgb/img-000001.jpg
        depth/1.png
    """,
    description="Rooms seen by four depth cameras.",
    unit="16-bit PNG, millimeters turned left by 3 bits; converted: 10,000 (or 6553.5) = 1 m",
    invalid="0",
    license="none stated; for research",
    images="10,335: 5285 for training, 5050 for testing",
    where=(
        "https://rgbd.cs.princeton.edu: SUNRGBD.zip and SUNRGBDtoolbox.zip. Converted test images and depth: "
        "github.com/ankurhanda/sunrgbd-meta-data"
    ),
    paper="Table 5",
)
