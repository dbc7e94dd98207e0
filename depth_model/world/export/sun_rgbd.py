"""SUN RGB-D as released: depth in millimeters with its bits turned, the split in the toolbox."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, integers, write_png

PREFIX = "/n/fs/sun3d/data/"
"""With which the toolbox of the release starts every path."""


def _folder(number: int, split: str) -> str:
    return f"SUNRGBD/kv1/rendered/{split}_{number:04d}"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    folder = root / _folder(number, split)
    millimeters = integers(sample.target, 1000)
    turned = (millimeters << 3) | (millimeters >> 13)
    files.write_bytes(folder / "image" / "picture.jpg", sample.image)
    for kind in ("depth", "depth_bfx"):
        write_png(folder / kind / "picture_abs.png", turned)
    fx, fy, cx, cy = sample.intrinsics
    files.write_text(folder / "intrinsics.txt", f"{fx} 0 {cx} 0 {fy} {cy} 0 0 1 \n")


def _finish(root: Path, samples: Mapping[str, list[Sample]]) -> None:
    from scipy.io import savemat

    listed = {}
    for split in ("train", "test"):
        cells = np.empty((1, len(samples.get(split, []))), object)
        for number in range(cells.shape[1]):
            cells[0, number] = PREFIX + _folder(number, split)
        listed[f"all{split}"] = cells
    buffer = io.BytesIO()
    savemat(buffer, listed)
    files.write_bytes(root / "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat", _undated(buffer.getvalue()))


def _undated(data: bytes) -> bytes:
    # The first 116 bytes are a text with the time of writing.
    return b"MATLAB 5.0 MAT-file".ljust(116) + data[116:]


LAYOUT = Layout("sun_rgbd", ("train", "test"), _write, _finish)
