"""Names and official colors of the classes of ADE20K and Cityscapes, in the order of their labels.

Compared with MMSegmentation's ADE20KDataset (mmseg/datasets/ade.py), which has the challenge's 150 classes and colors,
and with cityscapesScripts (helpers/labels.py), the training ids and colors of the release.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml

IGNORE = 255
"""The label of pixels that neither training nor evaluation looks at."""
LISTS = Path(__file__).with_name("classes.yaml")


@dataclass(frozen=True)
class ClassList:
    """The classes of the data set `name`: a name and a color (red, green, blue), 0 to 255, for every label."""

    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]

    def __len__(self) -> int:
        return len(self.classes)

    def colored(self, labels: np.ndarray) -> np.ndarray:
        """Return uint8 (H, W, 3): the colors of `labels`, uint8 (H, W); black for what is no class."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = self.palette
        return table[labels]


@cache
def class_lists() -> dict[str, ClassList]:
    """Return name -> classes of the data sets there are, which have the names of their readers."""
    content = yaml.safe_load(LISTS.read_text(encoding="utf-8"))
    return {name: ClassList(name, tuple(one), tuple(map(_rgb, one.values()))) for name, one in content.items()}


def _rgb(text: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue
