"""ETH3D: high-resolution photographs of the multi-view benchmark with the depth of a laser scanner.

Depth lies in files called like the photograph, .JPG, which hold raw numbers without a head; their size is that of the
photograph. It is drawn for the photographs as taken, so that no pin-hole describes them: intrinsics stay unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, paths_below, safe_key
from depth_model.reading.reader import Reader, always
from depth_model.reading.split_lists import first_below, folders_by_name
from depth_model.shards import images
from depth_model.shards.sample import Item, Sample

_DEPTH = re.compile(r"(?:.*/)?(?P<scene>[^/]+)/ground_truth_depth/dslr_images/(?P<name>[^/]+\.JPG)", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """There is nothing to choose: every photograph with ground truth is taken."""


def _items(root: Path, options: Options) -> Iterator[Item]:
    places = folders_by_name(root)
    for path in paths_below(root):
        if found := _DEPTH.fullmatch(path):
            image = first_below(
                root, places.get(found["scene"], []), f"{found['scene']}/images/dslr_images/{found['name']}"
            )
            yield Item(safe_key(f"{found['scene']}/{Path(found['name']).stem}"), image, (image, path))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth = item.paths
    encoded = decoded(root, image, bytes)
    target = decoded(root, depth, _raw_depth, decoded(root, image, images.stored_shape))
    return Sample(item.key, encoded, target, "metric_depth", source_path=item.source_path)


def _raw_depth(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    if len(data) != 4 * shape[0] * shape[1]:
        raise BadInput(f"{len(data)} bytes, but {shape[0]} x {shape[1]} float32 need {4 * shape[0] * shape[1]}")
    return formats.depth(np.frombuffer(data, "<f4").reshape(shape))


READER = Reader(
    name="eth3d",
    options=Options,
    items=_items,
    load=_load,
    expected=always("**/images/dslr_images", "**/ground_truth_depth/dslr_images"),
    layout="""
        courtyard/
          images/dslr_images/DSC_0286.JPG                (6048 x 4032)
          ground_truth_depth/dslr_images/DSC_0286.JPG    (not a picture: 4032 x 6048 raw float32)
    """,
    description="13 scenes in and out of doors, photographed and scanned.",
    unit="meters, raw float32, little-endian",
    invalid="infinity",
    license="CC BY-NC-SA 4.0",
    images="454 for training, which have depth",
    where=(
        "https://www.eth3d.net/datasets: multi_view_training_dslr_jpg.7z and multi_view_training_dslr_depth.7z, "
        "unpacked into one folder or two beside each other"
    ),
    paper="Tables 2, 6, 9, 12, 13",
)
