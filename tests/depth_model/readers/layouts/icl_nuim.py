"""One trajectory; one depth map is lost."""

from __future__ import annotations

import cv2
import numpy as np

from . import Layout, save_bytes, save_picture


def write(root):
    stored = np.random.default_rng(0).integers(4000, 22000, (24, 32)).astype(np.uint16)
    stored[2, 2] = 0
    folder = root / "living_room_traj0_frei_png"
    for number in (0, 1):
        save_picture(folder / "rgb" / f"{number}.png")
    save_bytes(folder / "depth" / "0.png", cv2.imencode(".png", stored)[1].tobytes())
    expected = (stored / np.float32(5000)).astype(np.float32)
    expected[2, 2] = np.nan
    place = "living_room_traj0_frei_png"
    return Layout({f"{place}/0": expected}, {}, "metric_depth", {f"{place}/1": "depth/1.png is missing"})
