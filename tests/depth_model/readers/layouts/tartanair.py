"""Sky, holes and a far backdrop; the environment whose sky is wrong; one depth map of Python objects."""

from __future__ import annotations

import numpy as np

from . import Layout, noise, save_picture


def write(root):
    stored = noise()
    stored[:6], stored[6, :4], stored[7, 0] = 65504, 0, 2984
    expected = stored.copy()
    expected[:6], expected[6, :4] = np.nan, np.nan
    classes = np.zeros((24, 32), np.uint8)
    classes[:6], classes[6, :4] = 1, 255
    places = ["oldtown/Easy/P000", "oldtown/Hard/P011", "amusement/Easy/P001", "ocean/Easy/P000"]
    for place in places:
        save_picture(root / place / "image_left" / "000000_left.png")
        (root / place / "depth_left").mkdir()
        np.save(root / place / "depth_left" / "000000_left_depth.npy", stored)
    np.save(root / "oldtown/Hard/P011/depth_left/000000_left_depth.npy", np.array([[{}]], object))
    keys = [f"{place}/000000" for place in places]
    return Layout(
        {keys[0]: expected, keys[2]: expected},
        {"exclude": ["ocean"]},
        "metric_depth",
        {keys[1]: "not a NumPy array of numbers"},
        {keys[0]: classes, keys[2]: np.full((24, 32), 255, np.uint8)},
    )
