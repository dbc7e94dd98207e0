"""DIML, its outdoor part: stereo depth in millimeters with a confidence, which is full here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, integers, pixels, write_png


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    batch, name = root / "170721_C0" / "1", f"{number + 1:06d}"
    write_png(batch / "left" / f"{name}_left.png", pixels(sample))
    write_png(batch / "depth" / f"{name}_depth.png", integers(sample.target, 1000))
    write_png(batch / "conf" / f"{name}_conf.png", np.full(sample.target.shape, 255, np.uint8))


LAYOUT = Layout("diml", ("outdoor",), _write)
