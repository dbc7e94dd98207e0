"""HR-WSI: disparity of unknown scale and shift in 256 steps, and a mask of the valid pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, write_png


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    name = f"rendered_{number:05d}"
    valid = np.isfinite(sample.target)
    disparity = np.where(valid, 1 / np.where(valid, sample.target, 1), 0)
    low, high = disparity[valid].min(), disparity[valid].max()
    stored = np.rint(255 * (disparity - low) / max(high - low, np.finfo(np.float32).tiny)).clip(0, 255)
    files.write_bytes(root / split / "imgs" / f"{name}.jpg", sample.image)
    write_png(root / split / "gts" / f"{name}.png", stored.astype(np.uint8))
    write_png(root / split / "valid_masks" / f"{name}.png", np.where(valid, 255, 0).astype(np.uint8))


LAYOUT = Layout("hrwsi", ("train", "val"), _write)
