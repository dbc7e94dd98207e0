"""Pictures of any format in folders; what is no picture is listed by its name only and left to collect."""

from __future__ import annotations

from . import Layout, save_picture


def write(root):
    save_picture(root / "a.jpg")
    save_picture(root / "holiday" / "b.png", seed=1)
    return Layout({"a": None, "holiday/b": None})
