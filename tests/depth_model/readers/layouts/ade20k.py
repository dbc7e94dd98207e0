"""One image of each split, and one with labels of the full ADE20K release."""

from __future__ import annotations

import numpy as np

from . import Layout, save_picture, save_values


def write(root):
    folder = root / "ADEChallengeData2016"
    stored = np.array([[0, 1, 3], [150, 149, 2]], np.uint8)
    for split, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        save_picture(folder / "images" / split / f"{name}.jpg", stored.shape)
        save_values(folder / "annotations" / split / f"{name}.png", stored)
    save_picture(folder / "images" / "validation" / "ADE_val_00000002.jpg", stored.shape)
    save_values(folder / "annotations" / "validation" / "ADE_val_00000002.png", stored + np.uint8(3))
    keys = ("training/ADE_train_00000001", "validation/ADE_val_00000001")
    labels = np.array([[255, 0, 2], [149, 148, 1]])
    return Layout(
        dict.fromkeys(keys),
        refused={"validation/ADE_val_00000002": "labels up to 153"},
        semantic=dict.fromkeys(keys, labels),
    )
