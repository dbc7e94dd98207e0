"""The labeled file of four images, written by h5py and scipy; the official split names two of them for testing."""

from __future__ import annotations

import h5py
import numpy as np
from scipy.io import savemat

from . import Layout, noise

COUNT, SHAPE = 4, (6, 8)
TEST = (2, 4)


def content():
    """(images uint8 (N, H, W, 3), depth, raw depth float32 (N, H, W)) as one would see them in Python."""
    generator = np.random.default_rng(5)
    images = generator.integers(0, 256, (COUNT, *SHAPE, 3)).astype(np.uint8)
    filled = noise((COUNT, *SHAPE), 0.7, 10)
    return images, filled, np.where(generator.random(filled.shape) < 0.25, 0, filled).astype(np.float32)


def write(root):
    images, filled, raw = content()
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        # MATLAB's H x W x 3 x N, columns first, is N x 3 x W x H to HDF5.
        file.create_dataset("images", data=images.transpose(0, 3, 2, 1), chunks=(1, 3, 8, 6), compression="gzip")
        file.create_dataset("depths", data=filled.transpose(0, 2, 1))
        file.create_dataset("rawDepths", data=raw.transpose(0, 2, 1))
    columns = {"testNdxs": np.array(TEST, np.uint16)[:, None], "trainNdxs": np.array([1, 3], np.uint16)[:, None]}
    savemat(root / "splits.mat", columns)
    targets = {f"labeled/{number - 1:05d}": np.where(raw == 0, np.nan, raw)[number - 1] for number in TEST}
    return Layout(targets, {"split": "test"}, "metric_depth")
