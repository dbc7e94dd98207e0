"""Two sequences, of which the split names one; both invalid values."""

from __future__ import annotations

import cv2
import numpy as np

from . import Layout, save_bytes, save_picture


def write(root):
    stored = np.random.default_rng(0).integers(800, 4000, (24, 32)).astype(np.uint16)
    stored[0], stored[1] = 0, 65535
    for sequence in ("seq-01", "seq-11"):
        for number in (0, 1):
            folder = root / "office" / sequence
            save_picture(folder / f"frame-{number:06d}.color.png")
            save_bytes(folder / f"frame-{number:06d}.depth.png", cv2.imencode(".png", stored)[1].tobytes())
            save_bytes(folder / f"frame-{number:06d}.pose.txt", b"1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    (root / "office" / "seq-11" / "frame-000001.depth.png").unlink()
    save_bytes(root / "office" / "TrainSplit.txt", b"sequence1\r\n")
    save_bytes(root / "office" / "TestSplit.txt", b"sequence11\r\n")
    expected = (stored / np.float32(1000)).astype(np.float32)
    expected[:2] = np.nan
    keys = [f"office/seq-11/frame-{number:06d}" for number in (0, 1)]
    return Layout(
        {keys[0]: expected}, {"split": "test"}, "metric_depth", {keys[1]: "frame-000001.depth.png is missing"}
    )
