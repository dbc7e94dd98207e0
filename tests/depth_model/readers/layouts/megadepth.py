"""A Euclidean map with outliers, one with hardly any depth, an ordinal map and one that is no HDF5 file."""

from __future__ import annotations

import h5py
import numpy as np

from . import Layout, dotted, save_bytes, save_picture


def write(root):
    folder = root / "0001" / "dense0"
    full = np.arange(1, 769, dtype=np.float32).reshape(24, 32)
    full[0, :10] = 0
    sparse = np.zeros((24, 32), np.float32)
    sparse[3, :10] = np.arange(1, 11)
    ordinal = np.where(full < 400, np.float32(-1), full)
    for name, values in (("full", full), ("sparse", sparse), ("ordinal", ordinal)):
        save_picture(folder / "imgs" / f"{name}.jpg")
        (folder / "depths").mkdir(exist_ok=True)
        with h5py.File(folder / "depths" / f"{name}.h5", "w") as file:
            file["depth"] = values
    save_picture(folder / "imgs" / "8251_o.v.jpg")
    save_bytes(folder / "depths" / "8251_o.v.h5", b"no HDF5")
    # 758 depths 11 ... 768: percentile 1 is 11 + 7.57, percentile 98 is 11 + 741.86 (linear between neighbors).
    kept = np.where((full >= 19) & (full <= 752), full, np.float32(np.nan))
    targets = {"0001/dense0/full": kept, "0001/dense0/sparse": np.where(sparse > 0, sparse, np.float32(np.nan))}
    refused = {
        "0001/dense0/ordinal": "ordinal.h5: an ordinal map (minimum -1)",
        dotted("0001/dense0/8251_o.v"): "not a readable HDF5 file",
    }
    return Layout(targets, {}, "relative_depth", refused)
