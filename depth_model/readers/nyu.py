"""NYU Depth V2: the labeled .mat file with its official split, or the folders of synchronized frames.

A root that holds `nyu_depth_v2_labeled.mat` is read from there, unless a list file asks for folders. The frames of
the released lists (654 for testing) are the same images, written by the code of BTS from the .mat file with their raw
depth. Each image has a white (in the folders: black) frame of about eight pixels without depth, which stays.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from depth_model.errors import BadInput
from depth_model.reading import formats, matlab, split_lists
from depth_model.reading.inputs import decoded, paths_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.reading.split_lists import first_below, folders_by_name
from depth_model.shards import decoding
from depth_model.shards.apart import apart
from depth_model.shards.sample import Item, Sample

if TYPE_CHECKING:
    import h5py

LABELED = "nyu_depth_v2_labeled.mat"
SPLITS = "splits.mat"
INTRINSICS = (518.8579, 519.4696, 325.5824, 253.7362)
"""Of the color camera in pixels, from the toolbox of the release (camera_params.m)."""

_FRAME = re.compile(r"(?P<folder>(?:.*/)?(?P<scene>[^/]+)/|)rgb_(?P<number>\d+)\.(?:jpg|png)")


@dataclass(frozen=True)
class Options:
    """Which images, and which depth of the .mat file.

    `list`: a list file of image, depth and focal length a line, for folders. `split`: of the .mat file by its
    `splits.mat`; of folders those below a folder `train` or `test`; everything when not given. `depth`: of the .mat
    file, `raw` as the Kinect saw it (what the released test images hold) or `filled` by colorization.
    """

    list: str | None = None
    split: Literal["train", "test"] | None = None
    depth: Literal["raw", "filled"] = "raw"


def _expected(options: Options) -> tuple[str, ...]:
    frames = "**/sync_depth_*.png"
    return (frames if options.list is not None else f"{LABELED} | {frames}",)


def _items(root: Path, options: Options) -> Iterator[Item]:
    if options.list is not None:
        return _listed(root, options.list)
    return (_labeled if (root / LABELED).is_file() else _frames)(root, options)


def _labeled(root: Path, options: Options) -> Iterator[Item]:
    """Yield the images of the .mat file; keys count from 0, as the names of the released frames do."""
    count = _count(root)
    for index in range(count) if options.split is None else _split(root, options.split, count):
        yield Item(f"labeled/{index:05d}", LABELED, (str(index),))


@apart()
def _count(root: Path) -> int:
    with _opened(root) as file, decoding.faults(f"{LABELED}: images cannot be read"):
        return len(_images(file))


def _split(root: Path, split: str, count: int) -> list[int]:
    """Return the indices of `split` from 0; the file counts from 1."""
    numbers = np.ravel(decoded(root, SPLITS, matlab.variable, f"{split}Ndxs"))
    if numbers.dtype.kind not in "uif" or not ((numbers >= 1) & (numbers <= count)).all():
        raise BadInput(f"{SPLITS}: {split}Ndxs are not numbers of the {count} images of {LABELED}")
    return [int(number) - 1 for number in numbers]


def _listed(root: Path, name: str) -> Iterator[Item]:
    places = folders_by_name(root)
    for words in split_lists.lines(root, name):
        found = _FRAME.fullmatch(words[0])
        if found is None or not found["scene"] or len(words) < 2:
            raise BadInput(f"list: {' '.join(words)!r} is not <scene>/rgb_<number>.jpg, depth, focal length")
        path = f"{found['scene']}/{words[0].rpartition('/')[2]}"
        yield _frame(first_below(root, places.get(found["scene"], []), path))


def _frames(root: Path, options: Options) -> Iterator[Item]:
    for path in paths_below(root):
        if _FRAME.fullmatch(path) and (options.split is None or options.split in path.split("/")[:-1]):
            yield _frame(path)


def _frame(path: str) -> Item:
    found = _FRAME.fullmatch(path)
    depth = f"{found['folder']}sync_depth_{found['number']}.png"
    return Item(safe_key(path.rpartition(".")[0]), path, (path, depth))


def _load(root: Path, item: Item, options: Options) -> Sample:
    if item.source_path == LABELED:
        image, target = _labeled_image(root, int(item.paths[0]), options.depth)
    else:
        image = decoded(root, item.paths[0], bytes)
        target = formats.depth(decoded(root, item.paths[1], formats.picture), 1000)
    return Sample(item.key, image, target, "metric_depth", None, INTRINSICS, item.source_path)


@apart()
def _labeled_image(root: Path, index: int, depth: str) -> tuple[bytes, np.ndarray]:
    """Return the image as PNG and its depth, float32 (H, W); MATLAB stores columns first, HDF5 reverses the axes."""
    with _opened(root) as file, decoding.faults(f"{LABELED}: image {index + 1} cannot be read"):
        pixels = _images(file)[index].transpose(2, 1, 0)
        stored = _stack(file, "rawDepths" if depth == "raw" else "depths")[index].T
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(encoded, "PNG")
    return encoded.getvalue(), formats.depth(np.ascontiguousarray(stored))


def _opened(root: Path) -> h5py.File:
    import h5py

    try:
        return h5py.File(root / LABELED, "r")
    except OSError as error:
        raise BadInput(f"{LABELED}: not a readable MATLAB 7.3 file: {error}") from error


def _images(file: h5py.File) -> h5py.Dataset:
    images = _stack(file, "images")
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8:
        raise BadInput(f"{LABELED}: images of shape {images.shape} and type {images.dtype}, not 3 x W x H of 8 bits")
    return images


def _stack(file: h5py.File, name: str) -> h5py.Dataset:
    return formats.check_dataset(formats.stored_dataset(file, name), axes=1)


READER = Reader(
    name="nyu",
    options=Options,
    items=_items,
    load=_load,
    watch=split_lists.watch,
    expected=_expected,
    layout="""
        nyu_depth_v2_labeled.mat           (MATLAB 7.3: images, depths, rawDepths)
        splits.mat                         (trainNdxs, testNdxs, counted from 1)

        or folders of frames: official_splits/{train,test}, sync
          bathroom/
            rgb_00045.jpg
            sync_depth_00045.png
    """,
    description="Rooms seen by a Kinect, 640 x 480 pixels.",
    unit=".mat: meters, float32; PNG: millimeters, 16 bits",
    invalid="0 (a quarter of the raw depth)",
    license="none stated; for research",
    images="1449 labeled: 795 for training, 654 for testing; sync folders: 24,231 for training",
    where=(
        'https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html: "labeled dataset" and "train/test splits". '
        "Sync folders (sync.zip) and the script that writes official_splits: github.com/cleinc/bts. List "
        "files nyudepthv2_train_files_with_gt.txt and nyudepthv2_test_files_with_gt.txt: folder "
        "metric_depth/train_test_inputs of github.com/LiheYoung/Depth-Anything"
    ),
    paper="Tables 2, 3, 6, 9, 12, 13",
)
