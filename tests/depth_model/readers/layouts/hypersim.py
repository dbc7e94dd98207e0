"""A flat wall seen by the usual camera, an image without depth, and depth without its image."""

from __future__ import annotations

import h5py
import numpy as np

from . import ANY, Layout, save_picture

SHAPE = (12, 16)


def save_distance(path, distance):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset", data=distance, compression="gzip")


def write(root):
    images = root / "ai_001_002" / "images"
    distance = np.random.default_rng(0).uniform(1, 9, SHAPE).astype(np.float16)
    distance[0, 0] = np.nan
    for frame in (0, 3):
        save_picture(images / "scene_cam_00_final_preview" / f"frame.{frame:04d}.tonemap.jpg", SHAPE)
        save_picture(images / "scene_cam_00_final_preview" / f"frame.{frame:04d}.color.jpg", SHAPE)
    for frame in (0, 5):
        save_distance(images / "scene_cam_00_geometry_hdf5" / f"frame.{frame:04d}.depth_meters.hdf5", distance)
    return Layout(
        {"ai_001_002/cam_00/0000": ANY},
        {},
        "metric_depth",
        {"ai_001_002/cam_00/0003": "0003.depth_meters.hdf5 is missing", "ai_001_002/cam_00/0005": "is missing"},
    )
