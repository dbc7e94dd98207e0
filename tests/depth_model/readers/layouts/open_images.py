"""A compressed part, and unpacked pictures."""

from __future__ import annotations

from . import Layout, save_picture
from .packing import picture, tar


def write(root):
    tar(root / "train_0.tar.gz", {"train_0/000002b66c9c498e.jpg": picture(1)}, "w:gz")
    save_picture(root / "train" / "100002b66c9c4980.jpg")
    save_picture(root / "validation" / "200002b66c9c4980.jpg")
    return Layout({"000002b66c9c498e": None, "100002b66c9c4980": None})
