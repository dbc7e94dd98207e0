"""ADE20K in the form of the scene parsing challenge; the rendered world has its classes already."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, write_png

NAMES = {"training": "ADE_train", "validation": "ADE_val"}


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    name, top = f"{NAMES[split]}_{number + 1:08d}", root / "ADEChallengeData2016"
    stored = np.where(sample.semantic == 255, 0, sample.semantic + 1).astype(np.uint8)
    write_png(top / "annotations" / split / f"{name}.png", stored)
    files.write_bytes(top / "images" / split / f"{name}.jpg", sample.image)


LAYOUT = Layout("ade20k", tuple(NAMES), _write)
