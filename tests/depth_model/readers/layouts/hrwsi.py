"""Two training images with masks (one of them lost), and one of validation that the default leaves out."""

from __future__ import annotations

import cv2
import numpy as np

from . import Layout, save_bytes, save_picture


def write(root):
    stored = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    mask = np.full((24, 32), 255, np.uint8)
    mask[:5] = 0
    for split, name in (("train", "web_1"), ("train", "web_2"), ("val", "web_3")):
        save_picture(root / split / "imgs" / f"{name}.jpg")
        save_bytes(root / split / "gts" / f"{name}.png", cv2.imencode(".png", stored)[1].tobytes())
        save_bytes(root / split / "valid_masks" / f"{name}.png", cv2.imencode(".png", mask)[1].tobytes())
    (root / "train" / "valid_masks" / "web_2.png").unlink()
    expected = np.where(mask > 0, stored, np.nan).astype(np.float32)
    refused = {"train/web_2": "valid_masks/web_2.png is missing"}
    return Layout({"train/web_1": expected}, {}, "affine_disparity", refused)
