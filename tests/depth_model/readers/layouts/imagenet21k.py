"""A synset as tar, a synset as folder."""

from __future__ import annotations

from . import Layout, save_bytes
from .packing import picture, tar


def write(root):
    tar(root / "n00004475.tar", {"n00004475_6590.JPEG": picture(1), "n00004475_1.JPEG": picture(3)})
    save_bytes(root / "n00005787" / "n00005787_3.JPEG", picture(2))
    return Layout({"n00004475_6590": None, "n00004475_1": None, "n00005787_3": None})
