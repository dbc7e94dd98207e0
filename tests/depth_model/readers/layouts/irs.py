"""Disparity as OpenEXR files of one channel, one of them cut short."""

from __future__ import annotations

import numpy as np
import OpenEXR

from . import Layout, noise, save_picture


def write(root):
    targets = {}
    for scene, number in (("Home/AltaStudio_Dark", 1), ("Home/AltaStudio_Dark", 2), ("Store/Shop", 10)):
        disparity = noise((54, 96), 0.5, 90, number)
        disparity[0, :3] = np.nan, np.inf, -1
        disparity[1, 1] = 0
        folder = root / scene
        save_picture(folder / f"l_{number}.png", (54, 96))
        save_picture(folder / f"r_{number}.png", (54, 96))
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, {"G": disparity}).write(str(folder / f"d_{number}.exr"))
        targets[f"{scene}/{number}"] = np.where(disparity >= 0, disparity, np.nan)
        targets[f"{scene}/{number}"][0, 1] = np.nan
    cut = root / "Store" / "Shop" / "d_10.exr"
    cut.write_bytes(cut.read_bytes()[:-300])
    del targets["Store/Shop/10"]
    return Layout(targets, {}, "disparity", {"Store/Shop/10": "d_10.exr: truncated or damaged OpenEXR file"})
