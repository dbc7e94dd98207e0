"""Time stamps of which one image has no depth near enough, and one depth map no image."""

from __future__ import annotations

import cv2
import numpy as np

from . import Layout, dotted, save_bytes, save_picture


def write(root):
    folder = root / "rgbd_dataset_freiburg2_desk"
    stored = np.random.default_rng(0).integers(2000, 50000, (24, 32)).astype(np.uint16)
    stored[0] = 0
    for stamp in ("1311868164.363181", "1311868164.399026"):
        save_picture(folder / "rgb" / f"{stamp}.png")
    for stamp in ("1311868164.373557", "1311868165.0"):
        save_bytes(folder / "depth" / f"{stamp}.png", cv2.imencode(".png", stored)[1].tobytes())
    expected = (stored / np.float32(5000)).astype(np.float32)
    expected[0] = np.nan
    place = "rgbd_dataset_freiburg2_desk"
    return Layout(
        {dotted(f"{place}/1311868164.363181"): expected},
        {},
        "metric_depth",
        {
            dotted(f"{place}/1311868164.399026"): "no depth map within 0.02 s",
            dotted(f"depth/{place}/1311868165.0"): "no color image within 0.02 s",
        },
    )
