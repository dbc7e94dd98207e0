"""Virtual KITTI 2: centimeters, the farthest value being sky."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, integers, write_png

SKY = 65535


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    frames = root / "Scene01" / "clone" / "frames"
    files.write_bytes(frames / "rgb" / "Camera_0" / f"rgb_{number:05d}.jpg", sample.image)
    depth = np.where(np.isnan(sample.target), SKY, integers(sample.target, 100)).astype(np.uint16)
    write_png(frames / "depth" / "Camera_0" / f"depth_{number:05d}.png", depth)


LAYOUT = Layout("vkitti2", ("all",), _write)
