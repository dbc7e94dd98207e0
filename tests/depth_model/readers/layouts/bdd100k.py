"""Two videos, one of them no video."""

from __future__ import annotations

from depth_model.reading.inputs import safe_key

from . import Layout, save_bytes
from .packing import video


def write(root):
    video(root / "videos" / "train" / "0000f77c-6257be58.mov", 25)
    save_bytes(root / "videos" / "train" / "broken.mov", b"no video")
    keys = [f"0000f77c-6257be58/{number:06d}" for number in (0, 10, 20)]
    broken = safe_key("rest of videos/train/broken.mov")
    return Layout(dict.fromkeys(keys), refused={broken: "not a video in a known container"})
