"""Two photographs of one scene; the depth of the second is cut off."""

from __future__ import annotations

import numpy as np

from . import Layout, noise, save_bytes, save_picture

SHAPE = (6, 9)


def write(root):
    depth = noise(SHAPE, 0.5, 70)
    depth[:2] = np.inf
    for name, data in (("DSC_0286", depth.tobytes()), ("DSC_0287", depth.tobytes()[:-4])):
        save_picture(root / "courtyard" / "images" / "dslr_images" / f"{name}.JPG", SHAPE)
        save_bytes(root / "courtyard" / "ground_truth_depth" / "dslr_images" / f"{name}.JPG", data)
    return Layout(
        {"courtyard/DSC_0286": np.where(np.isinf(depth), np.nan, depth)},
        {},
        "metric_depth",
        {"courtyard/DSC_0287": "212 bytes, but 6 x 9 float32 need 216"},
    )
