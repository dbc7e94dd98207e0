"""Cityscapes with label ids; classes of the rendered world that it does not know become "unlabeled"."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model.shards.sample import Sample
from depth_model.world import labels
from depth_model.world.export import Layout, pixels, write_png

CITY = "rendered"
LABEL_IDS = {
    labels.ROAD: 7,
    labels.SIDEWALK: 8,
    labels.BUILDING: 11,
    labels.HOUSE: 11,
    labels.WALL: 12,
    labels.FENCE: 13,
    labels.POLE: 17,
    labels.STREETLIGHT: 17,
    labels.SIGNBOARD: 20,
    labels.TREE: 21,
    labels.PLANT: 21,
    labels.GRASS: 22,
    labels.EARTH: 22,
    labels.SKY: 23,
    labels.PERSON: 24,
    labels.CAR: 26,
}
"""Class of the rendered world -> label id of Cityscapes (road, sidewalk, building, ...)."""


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    table = np.zeros(256, np.uint8)
    table[list(LABEL_IDS)] = list(LABEL_IDS.values())
    frame = f"{split}/{CITY}/{CITY}_000000_{number:06d}"
    write_png(root / "gtFine" / f"{frame}_gtFine_labelIds.png", table[sample.semantic])
    write_png(root / "leftImg8bit" / f"{frame}_leftImg8bit.png", pixels(sample))


LAYOUT = Layout("cityscapes", ("train", "val"), _write)
