"""TartanAir: planar depth in meters as NumPy; the sky is farther than anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, pixels, write_npy, write_png

SKY = 65504.0
TRAJECTORY = "rendered/Easy/P000"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    write_png(root / TRAJECTORY / "image_left" / f"{number:06d}_left.png", pixels(sample))
    depth = np.nan_to_num(sample.target, nan=SKY)
    write_npy(root / TRAJECTORY / "depth_left" / f"{number:06d}_left_depth.npy", depth)


LAYOUT = Layout("tartanair", ("all",), _write)
