"""MPI Sintel: an animated film with true depth, in two renderings.

The sky is part of the scene and has very large depth, which is a label like any other here: protocols cap depth at 70
or 72 m (docs/paper.md 4.1).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, paths_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.reading.split_lists import first_below, folders_by_name
from depth_model.shards.sample import Item, Sample

_TAG = struct.pack("<f", 202021.25)
_DEPTH = re.compile(r"(?:.*/)?depth/(?P<frame>(?P<scene>[^/]+)/frame_\d{4})\.dpt")


@dataclass(frozen=True)
class Options:
    """`rendering`: `final` with fog, blur and grain, or `clean` without; which one the paper took is not known."""

    rendering: Literal["final", "clean"] = "final"


def _expected(options: Options) -> tuple[str, ...]:
    return (f"**/{options.rendering}/*/frame_*.png", "**/depth/*/frame_*.dpt")


def _items(root: Path, options: Options) -> Iterator[Item]:
    places = folders_by_name(root)
    renderings = [folder for folder in places.get(options.rendering, []) if not folder.endswith("test/")]
    for path in paths_below(root):
        if found := _DEPTH.fullmatch(path):
            image = first_below(root, renderings, f"{options.rendering}/{found['frame']}.png")
            camera = first_below(root, places.get("camdata_left", []), f"camdata_left/{found['frame']}.cam")
            yield Item(safe_key(f"{options.rendering}/{found['frame']}"), image, (image, path, camera))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth, camera = item.paths
    target = formats.depth(decoded(root, depth, dpt))
    intrinsics = decoded(root, camera, _intrinsics) if (root / camera).is_file() else None
    return Sample(item.key, decoded(root, image, bytes), target, "metric_depth", None, intrinsics, item.source_path)


def dpt(data: bytes) -> np.ndarray:
    """Return a .dpt file as float32 (H, W): tag "PIEH", width, height, rows from top to bottom, little-endian.

    Raises BadInput for another tag and a wrong length.
    """
    if data[:4] != _TAG or len(data) < 12:
        raise BadInput("not a .dpt file (wrong tag)")
    width, height = struct.unpack("<ii", data[4:12])
    if not (0 < width < 2**16 and 0 < height < 2**16) or len(data) != 12 + 4 * width * height:
        raise BadInput(f"a .dpt file of {len(data)} bytes cannot hold {height} x {width} pixels")
    return np.frombuffer(data, "<f4", offset=12).reshape(height, width).astype(np.float32)


def _intrinsics(data: bytes) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy of a .cam file: the tag, then 3 x 3 intrinsics and 3 x 4 extrinsics in float64."""
    if data[:4] != _TAG or len(data) != 4 + 8 * 21:
        raise BadInput("not a .cam file (wrong tag or length)")
    values = struct.unpack("<9d", data[4:76])
    return values[0], values[4], values[2], values[5]


READER = Reader(
    name="sintel",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    layout="""
        training/
          final/alley_1/frame_0001.png         (and clean/)
          depth/alley_1/frame_0001.dpt
          camdata_left/alley_1/frame_0001.cam  (optional: intrinsics)
    """,
    description="23 scenes of an animated film, 1024 x 436 pixels.",
    unit="meters, float32 .dpt",
    invalid="none; the sky has very large depth, which protocols cap",
    license="free for research, of the film: CC BY 3.0",
    images="1064 for training, which have depth",
    where=(
        "http://sintel.is.tue.mpg.de: MPI-Sintel-complete.zip and, on the page of depth, "
        "MPI-Sintel-depth-training-20150305.zip, unpacked into one folder or two beside each other"
    ),
    paper="Tables 2, 6, 9, 12, 13",
)
