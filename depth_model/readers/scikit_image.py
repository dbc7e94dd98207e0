"""Real photographs that the scikit-image wheel carries, and the Middlebury motorcycle with its true depth.

Only files inside the installed wheel are read; scikit-image's own loaders are never called, so nothing is ever
downloaded. Left out of its data folder are textures, documents, drawings and pictures through microscopes and
telescopes: they show no scene whose depth a person could tell.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from depth_model import files
from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample

Subset = Literal["photographs", "motorcycle"]
PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg")
"""Public domain (astronaut, rocket: NASA, SpaceX) or CC0 by their photographers, as scikit-image documents."""

MOTORCYCLE = ("motorcycle_left.png", "motorcycle_disp.npz")
"""The left view of the Middlebury 2014 set "Motorcycle" at a quarter of its size, and its disparity in pixels."""

# The calibration of the full-sized set (vision.middlebury.edu/stereo/data/scenes2014) divided by four; pixels and mm.
FOCAL_LENGTH = 994.978
BASELINE = 193.001
DISPARITY_OFFSET = 31.086
PRINCIPAL_POINT = (311.193, 254.877)


@dataclass(frozen=True)
class Options:
    """Which pictures: the `photographs`, or the `motorcycle` with metric depth."""

    subset: Subset

    def __post_init__(self) -> None:
        if self.subset not in get_args(Subset):
            raise ValueError(f"subset = {self.subset!r}: unknown (allowed: {', '.join(get_args(Subset))})")


def _folder() -> Path:
    specification = importlib.util.find_spec("skimage")
    folders = list(specification.submodule_search_locations or []) if specification else []
    if not folders:
        raise BadInput("scikit-image is not installed: pip install 'scikit-image>=0.26,<0.27'")
    return Path(folders[0]) / "data"


def _stored(name: str) -> bytes:
    path = _folder() / name
    if not path.is_file():
        raise BadInput(f"the installed scikit-image does not carry {name}: pip install 'scikit-image>=0.26,<0.27'")
    return path.read_bytes()


def _paths(options: Options) -> list[tuple[str, ...]]:
    return [MOTORCYCLE] if options.subset == "motorcycle" else [(name,) for name in PHOTOGRAPHS]


def _items(root: Path, options: Options) -> Iterator[Item]:
    for paths in _paths(options):
        yield Item(Path(paths[0]).stem, paths[0], paths)


def _load(root: Path, item: Item, options: Options) -> Sample:
    image = _stored(item.paths[0])
    if options.subset == "photographs":
        return Sample(item.key, image, source_path=item.source_path)
    depth = motorcycle_depth(_disparity(_stored(item.paths[1])))
    intrinsics = (FOCAL_LENGTH, FOCAL_LENGTH, *PRINCIPAL_POINT)
    return Sample(item.key, image, depth, "metric_depth", None, intrinsics, item.source_path)


def _disparity(data: bytes) -> np.ndarray:
    try:
        return formats.npz(data, "arr_0")
    except BadInput as error:
        raise BadInput(f"{MOTORCYCLE[1]} holds no disparity map: {error}") from error


def motorcycle_depth(disparity: np.ndarray) -> np.ndarray:
    """Return planar depth in meters, float32 (H, W), of the `disparity` of the motorcycle in pixels.

    The two principal points differ, so that depth = focal length * baseline / (disparity + offset): the disparity
    alone is inverse depth only up to a shift. With the calibration known, metric depth says more and lets all
    depth metrics apply. Infinite or NaN disparity means unknown and becomes NaN.
    """
    with np.errstate(invalid="ignore"):
        depth = FOCAL_LENGTH * BASELINE / 1000 / (disparity.astype(np.float64) + DISPARITY_OFFSET)
    return np.where(np.isfinite(disparity), depth, np.nan).astype(np.float32)


def _watch(root: Path, options: Options) -> Iterator[dict[str, Any]]:
    # The hash, not the time: installing the same wheel again changes nothing.
    for name in (name for paths in _paths(options) for name in paths):
        path = _folder() / name
        yield {"path": name, "sha256": files.sha256(path) if path.is_file() else None}


READER = Reader(
    name="scikit_image",
    options=Options,
    items=_items,
    load=_load,
    watch=_watch,
    needs_root=False,
    layout="the folder `data` of the installed package scikit-image",
    description="Five real photographs, or the Middlebury motorcycle with true metric depth.",
    unit="disparity in pixels, converted to meters by the calibration",
    invalid="infinite disparity",
    license="public domain or CC0 (photographs); free for research (motorcycle, Middlebury 2014)",
    images="5, or 1 with depth",
    where="pip install scikit-image, which this project does",
    paper="not in the paper",
)
