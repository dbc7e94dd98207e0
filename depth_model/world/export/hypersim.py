"""Hypersim: distance to the optical center in half precision, a scene and a camera per picture."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout

CAMERA = [f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3)]


def _scene(number: int) -> str:
    return f"ai_{number + 1:03d}_001"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    import h5py

    folder = root / _scene(number) / "images"
    files.write_bytes(folder / "scene_cam_00_final_preview" / "frame.0000.tonemap.jpg", sample.image)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("dataset", data=_distance(sample).astype(np.float16), track_times=False)
    files.write_bytes(folder / "scene_cam_00_geometry_hdf5" / "frame.0000.depth_meters.hdf5", buffer.getvalue())


def _distance(sample: Sample) -> np.ndarray:
    fx, fy, cx, cy = sample.intrinsics
    row, column = np.mgrid[: sample.target.shape[0], : sample.target.shape[1]]
    return sample.target * np.sqrt(((column - cx) / fx) ** 2 + ((row - cy) / fy) ** 2 + 1)


def _finish(root: Path, samples: Mapping[str, list[Sample]]) -> None:
    lines = [",".join(["scene_name", *CAMERA])]
    for written in samples.values():
        for number, sample in enumerate(written):
            fx, fy, cx, cy = sample.intrinsics
            # The principal point is the center of the picture: the rays through its edges lie half its size away.
            matrix = [(cx + 0.5) / fx, 0, 0, 0, (cy + 0.5) / fy, 0, 0, 0, -1]
            lines.append(",".join([_scene(number), *map(repr, matrix)]))
    files.write_text(root / "metadata_camera_parameters.csv", "\n".join(lines) + "\n")


LAYOUT = Layout("hypersim", ("all",), _write, _finish)
