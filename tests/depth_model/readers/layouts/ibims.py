"""Two rooms with masks of one bit; one lacks a mask."""

from __future__ import annotations

import numpy as np
from PIL import Image

from . import Layout, save_bytes, save_picture, save_values

STORED = np.array([[0, 65535, 13107], [1, 26214, 39321]], np.uint16)
METERS = np.array([[np.nan, 50, 10], [50 / 65535, 20, 30]])
INVALID = np.array([[1, 1, 1], [0, 1, 1]], bool)
TRANSPARENT = np.array([[1, 1, 0], [1, 1, 1]], bool)


def write(root):
    folder = root / "ibims1_core_raw"
    for name in ("corridor_01", "office_02"):
        save_picture(folder / "rgb" / f"{name}.png", STORED.shape)
        save_values(folder / "depth" / f"{name}.png", STORED)
        for mask, usable in (("mask_invalid", INVALID), ("mask_transp", TRANSPARENT)):
            (folder / mask).mkdir(exist_ok=True)
            Image.fromarray(usable).save(folder / mask / f"{name}.png")
        save_bytes(folder / "calib" / f"{name}.txt", b"560.45,560.9,320.1,239.4\n")
    (folder / "mask_transp" / "office_02.png").unlink()
    (root / "imagelist.txt").write_text("corridor_01\noffice_02\n")
    meters = STORED.astype(np.float32) / np.float32(65535 / 50)
    expected = np.where(INVALID & TRANSPARENT & (STORED > 0), meters, np.nan).astype(np.float32)
    return Layout({"corridor_01": expected}, {}, "metric_depth", {"office_02": "mask_transp/office_02.png is missing"})
