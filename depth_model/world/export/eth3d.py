"""ETH3D: raw float32 depth under the name of its image, infinite where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout

SCENE = "rendered"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    name = f"dslr_images/DSC_{number:04d}.JPG"
    files.write_bytes(root / SCENE / "images" / name, sample.image)
    depth = np.nan_to_num(sample.target, nan=np.inf, posinf=np.inf).astype("<f4")
    files.write_bytes(root / SCENE / "ground_truth_depth" / name, depth.tobytes())


LAYOUT = Layout("eth3d", ("training",), _write)
