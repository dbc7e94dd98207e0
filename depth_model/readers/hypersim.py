"""Hypersim: rendered rooms, whose distances along the ray are turned into planar depth.

A quarter of the scenes were rendered with shifted or tilted lenses. With `metadata_camera_parameters.csv` in the root
each scene has its own camera; without it all have the camera of the loaders of the field, 60 degrees wide.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats, split_lists
from depth_model.reading.inputs import decoded, paths_below, safe_key
from depth_model.reading.reader import Reader, always
from depth_model.shards.sample import Item, Sample

CAMERAS = "metadata_camera_parameters.csv"
SPLITS = "metadata_images_split_scene_v1.csv"
USUAL_CAMERA = np.array([[3**-0.5, 0, 0], [0, 0.75 * 3**-0.5, 0], [0, 0, -1]])
"""From (u, v, 1), both -1 to 1, v upwards, to a point on the ray of a pixel: a view 60 degrees wide, 4 : 3."""

_FRAME = re.compile(
    r"(?P<folder>(?:.*/)?)(?P<scene>ai_\d{3}_\d{3})/images/scene_(?P<camera>cam_\d\d)_"
    r"(?:final_preview/frame\.(?P<image>\d{4})\.tonemap\.jpg|"
    r"geometry_hdf5/frame\.(?P<depth>\d{4})\.depth_meters\.hdf5)"
)


@dataclass(frozen=True)
class Options:
    """Which images.

    `list`: a list file with the image first on each line. `split`: of the public images, by
    `metadata_images_split_scene_v1.csv` in the root. Every image when neither is given.
    """

    list: str | None = None
    split: Literal["train", "val", "test"] | None = None


def _items(root: Path, options: Options) -> Iterator[Item]:
    if options.list is not None:
        yield from _listed(root, options.list)
        return
    chosen = None if options.split is None else _chosen(root, options.split)
    for path in paths_below(root):
        found = _FRAME.fullmatch(path)
        if found and (chosen is None or _number(found) in chosen):
            item = _item(found["folder"], found)
            # One of each pair; of an image or depth without its other half, that one, to be refused with the reason.
            if found["image"] or not (root / item.paths[0]).is_file():
                yield item


def _listed(root: Path, name: str) -> Iterator[Item]:
    places = split_lists.folders_by_name(root)
    for words in split_lists.lines(root, name):
        found = _FRAME.fullmatch(words[0])
        if found is None:
            raise BadInput(
                f"list: {words[0]!r} is not an image <scene>/images/scene_cam_00_final_preview/frame.*.tonemap.jpg"
            )
        yield _item(next(iter(places.get(found["scene"], [])), ""), found)


def _item(folder: str, found: re.Match[str]) -> Item:
    scene, camera, frame = _number(found)
    start = f"{folder}{scene}/images/scene_{camera}"
    image = f"{start}_final_preview/frame.{frame}.tonemap.jpg"
    depth = f"{start}_geometry_hdf5/frame.{frame}.depth_meters.hdf5"
    return Item(safe_key(f"{scene}/{camera}/{frame}"), image, (image, depth, scene))


def _number(found: re.Match[str]) -> tuple[str, str, str]:
    return found["scene"], found["camera"], found["image"] or found["depth"]


def _chosen(root: Path, split: str) -> set[tuple[str, str, str]]:
    if not (root / SPLITS).is_file():
        raise BadInput(f"split = {split}: {SPLITS} is not in {root}; it is in the repository apple/ml-hypersim")
    with open(root / SPLITS, encoding="utf-8", newline="") as handle:
        try:
            return {
                (row["scene_name"], row["camera_name"], f"{int(row['frame_id']):04d}")
                for row in csv.DictReader(handle)
                if row["split_partition_name"] == split and row["included_in_public_release"] == "True"
            }
        except (LookupError, ValueError, TypeError, csv.Error) as error:
            raise BadInput(f"{SPLITS}: not the table of the release ({type(error).__name__}: {error})") from error


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth, scene = item.paths
    camera = _camera(root, scene)
    encoded = decoded(root, image, bytes)
    distance = formats.per_pixel(decoded(root, depth, formats.hdf5, "dataset"))
    target, intrinsics = planar_depth(distance, camera), pinhole(camera, distance.shape)
    return Sample(item.key, encoded, target, "metric_depth", None, intrinsics, item.source_path)


def _camera(root: Path, scene: str) -> np.ndarray:
    if not (root / CAMERAS).is_file():
        return USUAL_CAMERA
    matrix = _cameras(root / CAMERAS, (root / CAMERAS).stat().st_mtime_ns).get(scene)
    if matrix is None:
        raise BadInput(f"{CAMERAS} has no row of {scene}")
    return matrix


@lru_cache(maxsize=1)
def _cameras(path: Path, modified: int) -> dict[str, np.ndarray]:
    names = [f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3)]
    with open(path, encoding="utf-8", newline="") as handle:
        try:
            rows = {row["scene_name"]: [float(row[name]) for name in names] for row in csv.DictReader(handle)}
        except (LookupError, ValueError, TypeError, csv.Error) as error:
            raise BadInput(f"{CAMERAS}: not the table of the release ({type(error).__name__}: {error})") from error
    return {scene: np.reshape(values, (3, 3)) for scene, values in rows.items()}


def planar_depth(distance: np.ndarray, camera: np.ndarray = USUAL_CAMERA) -> np.ndarray:
    """Return depth along the normal of the image plane, float32 (H, W), of distances to the optical center (H, W).

    `camera` (3, 3) leads from (u, v, 1), pixel centers between -1 and 1 and v upwards, to a point on the ray, which
    is where the ray cuts the image plane. Values that are not finite and positive become NaN (docs/paper.md 4.4).
    """
    height, width = distance.shape
    u = (2 * np.arange(width) + 1) / width - 1
    v = 1 - (2 * np.arange(height) + 1) / height
    squared = sum((row[0] * u[None, :] + row[1] * v[:, None] + row[2]) ** 2 for row in camera)
    return formats.depth(distance * (_plane_distance(camera) / np.sqrt(squared)))


def pinhole(camera: np.ndarray, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy in pixels of a `camera` as in `planar_depth` for images of `shape` (H, W)."""
    height, width = shape
    right, up, center = camera.T
    focal = _plane_distance(camera)
    # The principal point is the foot of the perpendicular from the optical center to the image plane.
    u, v = -np.linalg.lstsq(np.stack((right, up), axis=1), center, rcond=None)[0]
    fx, fy = focal * width / (2 * np.linalg.norm(right)), focal * height / (2 * np.linalg.norm(up))
    return float(fx), float(fy), float((u + 1) * width / 2 - 0.5), float((1 - v) * height / 2 - 0.5)


def _plane_distance(camera: np.ndarray) -> float:
    normal = np.cross(camera[:, 0], camera[:, 1])
    return abs(float(camera[:, 2] @ normal / np.linalg.norm(normal)))


READER = Reader(
    name="hypersim",
    options=Options,
    items=_items,
    load=_load,
    watch=split_lists.watch,
    expected=always("**/images/*_final_preview", "**/images/*_geometry_hdf5"),
    layout="""
        metadata_camera_parameters.csv             (optional: the camera of each scene)
        metadata_images_split_scene_v1.csv         (for the option split)
        ai_001_001/
          images/
            scene_cam_00_final_preview/frame.0000.tonemap.jpg
            scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5   (data set "dataset")
    """,
    description="Photo-realistic rendered rooms, 1024 x 768 pixels.",
    unit="meters to the optical center, float16",
    invalid="NaN",
    license="CC BY-SA 3.0",
    images="77,400, of these 74,619 public with a split; test: 7690",
    where=(
        "https://github.com/apple/ml-hypersim: contrib/99991 downloads single files out of the archives; the "
        "tables are contrib/mikeroberts3000/metadata_camera_parameters.csv and evermotion_dataset/analysis/ "
        "metadata_images_split_scene_v1.csv. List of 7386 validation images: "
        "metric_depth/dataset/splits/hypersim/val.txt of github.com/DepthAnything/Depth-Anything-V2"
    ),
    paper="Table 5",
)
