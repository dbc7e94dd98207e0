"""A compressed patch and an unpacked one."""

from __future__ import annotations

from . import Layout, save_picture
from .packing import picture, tar


def write(root):
    content = {f"patch0/objects365_v1_0000012{number}.jpg": picture(number) for number in range(3)}
    tar(root / "train" / "patch0.tar.gz", content, "w:gz")
    save_picture(root / "train" / "patch16" / "objects365_v2_00900000.jpg")
    keys = [f"objects365_v1_0000012{number}" for number in range(3)]
    return Layout(dict.fromkeys([*keys, "objects365_v2_00900000"]))
