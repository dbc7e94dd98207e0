"""One image with training ids, one with plain label ids only, one without labels."""

from __future__ import annotations

import numpy as np

from . import Layout, save_picture, save_values

EVERY_LABEL = np.arange(-1, 34).reshape(5, 7).astype(np.uint8)
# The 19 classes of the benchmark by their label ids, in the order of their training ids.
TRAINING = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13,
            27: 14, 28: 15, 31: 16, 32: 17, 33: 18}  # fmt: skip


def write(root):
    expected = np.vectorize(lambda label: TRAINING.get(label, 255))(EVERY_LABEL)
    for split, frame in (("train", "aachen/aachen_0_1"), ("val", "ulm/ulm_0_2"), ("val", "ulm/ulm_0_3")):
        save_picture(root / "leftImg8bit" / split / f"{frame}_leftImg8bit.png", EVERY_LABEL.shape)
        if split == "train":
            save_values(root / "gtFine" / split / f"{frame}_gtFine_labelTrainIds.png", expected.astype(np.uint8))
        if not frame.endswith("3"):
            save_values(root / "gtFine" / split / f"{frame}_gtFine_labelIds.png", EVERY_LABEL)
    keys = ("train/aachen/aachen_0_1", "val/ulm/ulm_0_2")
    return Layout(
        dict.fromkeys(keys),
        refused={"val/ulm/ulm_0_3": "is missing"},
        semantic=dict.fromkeys(keys, expected),
    )
