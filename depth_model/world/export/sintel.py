"""MPI Sintel: both renderings (the same picture here), depth and camera files; the sky is very far."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, pixels, write_png

SCENE = "rendered_1"
SKY = 1e8
TAG = b"PIEH"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    name = f"{SCENE}/frame_{number + 1:04d}"
    for rendering in ("clean", "final"):
        write_png(root / split / rendering / f"{name}.png", pixels(sample))
    height, width = sample.target.shape
    depth = np.nan_to_num(sample.target, nan=SKY).astype("<f4")
    files.write_bytes(root / split / "depth" / f"{name}.dpt", TAG + struct.pack("<2i", width, height) + depth.tobytes())
    fx, fy, cx, cy = sample.intrinsics
    camera = [fx, 0, cx, 0, fy, cy, 0, 0, 1, *np.eye(3, 4).ravel()]
    files.write_bytes(root / split / "camdata_left" / f"{name}.cam", TAG + struct.pack("<21d", *camera))


LAYOUT = Layout("sintel", ("training",), _write)
