"""One tar, one image unpacked, and one of the test part."""

from __future__ import annotations

from . import Layout, save_picture
from .packing import picture, tar


def write(root):
    tar(root / "train" / "images_000.tar", {"0/0/0/0001f0a0c1b2d3e4.jpg": picture(1)})
    save_picture(root / "train" / "a" / "b" / "c" / "abcdef0123456789.jpg")
    save_picture(root / "test" / "a" / "b" / "c" / "abcdef0123456780.jpg")
    return Layout({"0001f0a0c1b2d3e4": None, "abcdef0123456789": None})
