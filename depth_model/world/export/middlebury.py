"""Middlebury 2014: a scene per picture, disparity in pixels as PFM and the calibration that makes it depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, pfm, pixels, write_png

BASELINE, OFFSET = 193.001, 20.0
"""Millimeters; pixels between the principal points of the two cameras."""


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    folder = root / f"Rendered{number:03d}-perfect"
    fx, fy, cx, cy = sample.intrinsics
    disparity = fx * BASELINE / (sample.target * 1000) - OFFSET
    write_png(folder / "im0.png", pixels(sample))
    files.write_bytes(folder / "disp0.pfm", pfm(np.nan_to_num(disparity, nan=np.inf, posinf=np.inf)))
    camera = f"cam0=[{fx} 0 {cx}; 0 {fy} {cy}; 0 0 1]\n"
    files.write_text(folder / "calib.txt", f"{camera}doffs={OFFSET}\nbaseline={BASELINE}\n")


LAYOUT = Layout("middlebury", ("all",), _write)
