"""DDAD in the DGP format: a scene per split, LiDAR points where the rendered depth is known."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout

SCENES = {"train": "000000", "val": "000150"}
CAMERA, LIDAR = "CAMERA_01", "LIDAR"
STEP = 2
"""Every second row and column has a point: a sweep does not fill the picture."""
STILL = {"rotation": dict.fromkeys(("qx", "qy", "qz"), 0.0) | {"qw": 1.0}, "translation": dict.fromkeys("xyz", 0.0)}
"""Pose of both sensors: points are given in the frame of the camera."""


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    folder = root / SCENES[split]
    files.write_bytes(folder / "rgb" / CAMERA / f"{number:06d}.jpg", sample.image)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, data=_points(sample))
    files.write_bytes(folder / "point_cloud" / LIDAR / f"{number:06d}.npz", buffer.getvalue())


def _points(sample: Sample) -> np.ndarray:
    """Return x, y, z in meters and the intensity of a point per known pixel, float64 (N, 4)."""
    chosen = np.zeros(sample.target.shape, bool)
    chosen[::STEP, ::STEP] = True
    rows, columns = np.nonzero(chosen & np.isfinite(sample.target))
    fx, fy, cx, cy = sample.intrinsics
    depth = sample.target[rows, columns].astype(np.float64)
    return np.stack([(columns - cx) / fx * depth, (rows - cy) / fy * depth, depth, np.zeros_like(depth)], axis=1)


def _finish(root: Path, samples: Mapping[str, list[Sample]]) -> None:
    splits: dict[str, dict[str, list[str]]] = {"0": {"filenames": []}, "1": {"filenames": []}}
    for split, written in samples.items():
        folder = SCENES[split]
        scene = f"{folder}/scene_rendered.json"
        splits[str(list(SCENES).index(split))]["filenames"].append(scene)
        described = [_described(number) for number in range(len(written))]
        data = [datum for both in described for datum in both]
        listed = [
            {"id": {}, "calibration_key": f"{number:06d}", "datum_keys": [f"l{number}", f"c{number}"]}
            for number in range(len(written))
        ]
        files.write_json(root / scene, {"name": "rendered", "data": data, "samples": listed})
        for number, sample in enumerate(written):
            files.write_json(root / folder / "calibration" / f"{number:06d}.json", _calibration(sample))
    files.write_json(root / "ddad.json", {"metadata": {"name": "DDAD"}, "scene_splits": splits})


def _described(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    lidar = {"filename": f"point_cloud/{LIDAR}/{number:06d}.npz", "pose": STILL}
    image = {"filename": f"rgb/{CAMERA}/{number:06d}.jpg", "pose": STILL, "annotations": {}}
    return (
        {"key": f"l{number}", "id": {"name": LIDAR}, "datum": {"point_cloud": lidar}},
        {"key": f"c{number}", "id": {"name": CAMERA}, "datum": {"image": image}},
    )


def _calibration(sample: Sample) -> dict[str, Any]:
    names = ("fx", "fy", "cx", "cy", "skew")
    cameras = [dict.fromkeys(names, 0.0), dict(zip(names, (*map(float, sample.intrinsics), 0.0)))]
    return {"names": [LIDAR, CAMERA], "extrinsics": [STILL, STILL], "intrinsics": cameras}


LAYOUT = Layout("ddad", tuple(SCENES), _write, _finish)
