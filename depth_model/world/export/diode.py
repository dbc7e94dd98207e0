"""DIODE: NumPy depth beside a mask of the pixels that are valid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, pixels, write_npy, write_png

INDOORS = ("rooms", "close_ups", "columns")
"""Domains of the rendered world that go to `indoors`."""


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    domain = "indoors" if sample.key.partition("-")[0] in INDOORS else "outdoor"
    scene, scan = f"{1:05d}", f"{1:05d}"
    folder = root / split / domain / f"scene_{scene}" / f"scan_{scan}"
    name = f"{scene}_{scan}_{domain}_{number:03d}_000"
    write_png(folder / f"{name}.png", pixels(sample))
    write_npy(folder / f"{name}_depth.npy", np.nan_to_num(sample.target, nan=0.0)[..., None])
    write_npy(folder / f"{name}_depth_mask.npy", np.isfinite(sample.target).astype(np.float32))


LAYOUT = Layout("diode", ("train", "val"), _write)
