"""MegaDepth: depth of a reconstruction as HDF5; its reader drops the nearest 1 and the farthest 2 per cent."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    import h5py

    folder, name = root / "0000" / "dense0", f"rendered_{number:05d}"
    files.write_bytes(folder / "imgs" / f"{name}.jpg", sample.image)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("depth", data=np.nan_to_num(sample.target, nan=0.0), track_times=False)
    files.write_bytes(folder / "depths" / f"{name}.h5", buffer.getvalue())


LAYOUT = Layout("megadepth", ("all",), _write)
