"""TUM RGB-D: color and depth by time stamp, the depth a little later than the color."""

from __future__ import annotations

from pathlib import Path

from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, integers, pixels, write_png

SEQUENCE = "rgbd_dataset_rendered"
START, FRAME, DELAY = 1305031452.0, 1 / 30, 0.005


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    stamp = START + number * FRAME
    write_png(root / SEQUENCE / "rgb" / f"{stamp:.6f}.png", pixels(sample))
    write_png(root / SEQUENCE / "depth" / f"{stamp + DELAY:.6f}.png", integers(sample.target, 5000))


LAYOUT = Layout("tum_rgbd", ("all",), _write)
