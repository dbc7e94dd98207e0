"""Two frames of one scene, packed by struct; the depth archive lies beside that of the images."""

from __future__ import annotations

import struct

import numpy as np

from . import Layout, noise, save_bytes, save_picture

SHAPE = (5, 9)


def packed(depth):
    head = b"PIEH" + struct.pack("<ii", depth.shape[1], depth.shape[0])
    return head + struct.pack(f"<{depth.size}f", *depth.ravel().tolist())


def write(root):
    images, truth = root / "MPI-Sintel-complete" / "training", root / "MPI-Sintel-depth" / "training"
    depth = noise(SHAPE, 0.5, 60)
    depth[0] = 1e8  # the sky
    for number in (1, 2):
        for rendering in ("clean", "final"):
            save_picture(images / rendering / "alley_1" / f"frame_{number:04d}.png", SHAPE, number)
        save_bytes(truth / "depth" / "alley_1" / f"frame_{number:04d}.dpt", packed(depth))
    save_picture(root / "MPI-Sintel-complete" / "test" / "final" / "alley_1" / "frame_0003.png", SHAPE)
    save_bytes(truth / "depth" / "alley_1" / "frame_0003.dpt", packed(depth))
    numbers = [1120.0, 0, 511.5, 0, 1121.0, 217.5, 0, 0, 1, *np.eye(3, 4).ravel()]
    save_bytes(truth / "camdata_left" / "alley_1" / "frame_0001.cam", b"PIEH" + struct.pack("<21d", *numbers))
    return Layout(
        {f"final/alley_1/frame_{number:04d}": depth for number in (1, 2)},
        {},
        "metric_depth",
        {"final/alley_1/frame_0003": "final/alley_1/frame_0003.png is missing"},
    )
