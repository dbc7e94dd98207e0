"""Four frames of two variants in two archives; the list of another machine names two, one of them not unpacked."""

from __future__ import annotations

import numpy as np

from . import Layout, save_bytes, save_picture, save_values

STORED = np.array([[65535, 65534, 100], [1, 0, 2550]], np.uint16)
EXPECTED = np.array([[np.nan, 655.34, 1], [0.01, np.nan, 25.5]], np.float32)
SKY = np.array([[1, 0, 0], [0, 0, 0]])
FRAME = "{}/15-deg-left/frames/{}/Camera_{}/{}_{:05d}.{}"


def write(root):
    for number in range(4):
        for camera in (0, 1):
            save_picture(root / "rgb" / FRAME.format("Scene01", "rgb", camera, "rgb", number, "jpg"), STORED.shape)
            depth = FRAME.format("Scene01", "depth", camera, "depth", number, "png")
            save_values(root / "depth" / depth, STORED)
    lines = [
        f"/mnt/x/vKitti2/{FRAME.format(scene, 'rgb', 0, 'rgb', 2, 'jpg')} "
        f"/mnt/x/vKitti2/{FRAME.format(scene, 'depth', 0, 'depth', 2, 'png')}"
        for scene in ("Scene01", "Scene20")
    ]
    save_bytes(root / "train.txt", "\n".join(lines).encode())
    key = "Scene01/15-deg-left/Camera_0/00002"
    return Layout(
        {key: EXPECTED},
        {"list": "train.txt"},
        "metric_depth",
        {key.replace("01", "20"): "depth_00002.png is missing"},
        {key: SKY},
    )
