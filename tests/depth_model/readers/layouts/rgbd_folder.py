"""Color and depth in millimeters, one image without its depth."""

from __future__ import annotations

import numpy as np

from . import Layout, save_picture, save_values


def write(root):
    stored = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32)
    save_picture(root / "rgb" / "1.png")
    save_values(root / "depth" / "1.png", stored)
    save_picture(root / "rgb" / "2.png")
    expected = np.where(stored == 0, np.nan, stored.astype(np.float32) / np.float32(1000))
    options = {"color": "rgb/*.png", "depth": "depth/*.png", "unit": 1000, "intrinsics": [30.0, 30.0, 15.5, 11.5]}
    return Layout({"1": expected.astype(np.float32)}, options, "metric_depth", {"2": "no depth file"})
