"""A tar of large pictures, one unpacked, and a small one that is left out."""

from __future__ import annotations

from . import Layout, save_picture
from .packing import picture, tar


def write(root):
    tar(root / "train_large_places365standard.tar", {"data_large/a/abbey/00000001.jpg": picture(1)})
    save_picture(root / "data_large" / "a" / "apartment_building" / "outdoor" / "00000002.jpg")
    save_picture(root / "data_256" / "a" / "abbey" / "00000001.jpg")
    return Layout({"a/abbey/00000001": None, "a/apartment_building/outdoor/00000002": None})
