"""The four layouts of DIML; the contract runs on the outdoor one, with its confidence."""

from __future__ import annotations

import cv2
import numpy as np

from . import Layout, save_bytes, save_picture


def png(values):
    return cv2.imencode(".png", values)[1].tobytes()


def millimeters(seed):
    stored = np.random.default_rng(seed).integers(500, 60000, (24, 32)).astype(np.uint16)
    stored[:, :3] = 0
    return stored


def meters(stored):
    return np.where(stored == 0, np.nan, stored.astype(np.float32) / np.float32(1000)).astype(np.float32)


def write(root):
    batch = root / "170721_C0" / "1"
    targets = {}
    for number in ("000001", "000002", "000003"):
        stored = millimeters(int(number))
        confidence = np.full((24, 32), 230, np.uint8)
        confidence[0], confidence[1] = 229, 0
        save_picture(batch / "left" / f"{number}_left.png")
        save_bytes(batch / "depth" / f"{number}_depth.png", png(stored))
        save_bytes(batch / "conf" / f"{number}_conf.png", png(confidence))
        targets[f"170721_C0/1/{number}"] = meters(np.where(confidence >= 230, stored, 0))
    (batch / "conf" / "000002_conf.png").unlink()
    save_bytes(batch / "conf" / "000003_conf.png", png(np.full((12, 16), 255, np.uint8)))
    refused = {"170721_C0/1/000002": "conf/000002_conf.png is missing", "170721_C0/1/000003": "confidence of shape"}
    kept = {key: value for key, value in targets.items() if key not in refused}
    # 230 / 255 = 0.902 counts, 229 / 255 = 0.898 does not.
    return Layout(kept, {"part": "outdoor"}, "metric_depth", refused)


def write_indoor(root):
    """Two batches whose depth files end differently, and an image without depth."""
    targets = {}
    for scene, batch, ending in (("16. Billiard Hall", "1", "ud"), ("16. Billiard Hall", "2", "depth")):
        folder = root / scene / "160224" / batch
        stored = millimeters(len(ending))
        save_picture(folder / "col" / "in_00_160224_000001_c.png")
        save_bytes(folder / "up_png" / f"in_00_160224_000001_{ending}.png", png(stored))
        targets[batch] = meters(stored)
    save_picture(root / "16. Billiard Hall" / "160224" / "2" / "col" / "in_00_160224_000002_c.png")
    return targets


def write_samples(root):
    """The evaluation sample, indoors and outdoors, in two resolutions."""
    stored = {}
    for seed, resolution in enumerate(("HR", "LR")):
        stored[resolution] = millimeters(seed)
        data = png(stored[resolution])
        save_picture(root / resolution / "cafe_1" / "color" / "in_k_00_c.png")
        save_bytes(root / resolution / "cafe_1" / "depth_filled" / "in_k_00_depth_filled.png", data)
        save_picture(root / resolution / "outleft" / "7.png")
        save_bytes(root / resolution / "depthmap" / "7.png", data)
    return {resolution: meters(values) for resolution, values in stored.items()}
