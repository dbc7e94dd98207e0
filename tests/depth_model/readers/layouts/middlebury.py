"""A scene of 2014 with its calibration and one without; `write_2003` for the older release."""

from __future__ import annotations

import cv2
import numpy as np

from . import Layout, noise, save_bytes, save_picture
from .blendedmvs import pfm

CALIBRATION = """cam0=[3979.911 0 1244.772; 0 3979.911 1019.507; 0 0 1]
cam1=[3979.911 0 1369.115; 0 3979.911 1019.507; 0 0 1]
doffs=124.343
baseline=193.001
width=2964
height=1988
ndisp=280
"""


def write(root):
    disparity = noise((24, 32), 30, 240)
    disparity[0] = np.inf
    for scene in ("Motorcycle-perfect", "Adirondack-perfect"):
        save_picture(root / scene / "im0.png")
        save_bytes(root / scene / "disp0.pfm", pfm(disparity))
        save_bytes(root / scene / "calib.txt", CALIBRATION.encode())
    save_bytes(root / "Adirondack-perfect" / "calib.txt", b"cam0=[1 2 3]\n")
    millimeters = 3979.911 * 193.001 / (disparity.astype(np.float64) + 124.343)
    expected = np.where(np.isinf(disparity), np.nan, millimeters / 1000).astype(np.float32)
    refused = {"Adirondack-perfect": "calib.txt: no cam0, baseline and doffs"}
    return Layout({"Motorcycle-perfect": expected}, {}, "metric_depth", refused)


def write_2003(root):
    """A quarter-size scene of 2003: the disparity in pixels is a quarter of what is stored."""
    stored = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    save_picture(root / "cones" / "im2.png")
    save_bytes(root / "cones" / "disp2.png", cv2.imencode(".png", stored)[1].tobytes())
    return np.where(stored == 0, np.nan, stored / 4).astype(np.float32)
