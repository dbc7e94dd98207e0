"""iBims-1, the raw release: depth to 50 m and two masks of the pixels that may be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, integers, pixels, write_png

FOLDER = "ibims1_core_raw"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    folder, name = root / FOLDER, f"rendered_{number:02d}"
    depth = integers(sample.target, 65535 / 50)
    write_png(folder / "rgb" / f"{name}.png", pixels(sample))
    write_png(folder / "depth" / f"{name}.png", depth)
    write_png(folder / "mask_invalid" / f"{name}.png", np.where(depth > 0, 255, 0).astype(np.uint8))
    write_png(folder / "mask_transp" / f"{name}.png", np.full(depth.shape, 255, np.uint8))
    files.write_text(folder / "calib" / f"{name}.txt", ",".join(map(str, sample.intrinsics)) + "\n")


def _finish(root: Path, samples: Mapping[str, list[Sample]]) -> None:
    names = [f"rendered_{number:02d}\n" for written in samples.values() for number in range(len(written))]
    files.write_text(root / FOLDER / "imagelist.txt", "".join(names))


LAYOUT = Layout("ibims", ("test",), _write, _finish)
