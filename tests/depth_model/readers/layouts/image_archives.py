"""An archive of each kind."""

from __future__ import annotations

from depth_model.reading.inputs import safe_key

from . import Layout, dotted
from .packing import database, picture, tar, video, zipped


def write(root):
    tar(root / "2024" / "part.tar", {"day/a.jpg": picture(1), "notes.txt": b"text"})
    tar(root / "b.tgz", {"a.png": picture(2, "PNG")}, "w:gz")
    zipped(root / "c.zip", {"a.jpg": picture(3), "../b.jpg": picture(4)})
    database(root / "d", {"one": picture(5)})
    video(root / "e.mp4", 3)
    names = ["2024/part.tar/day/a.jpg", "b.tgz/a.png", "c.zip/a.jpg", "d/data.mdb/one"]
    names += [f"e.mp4/{number:06d}.jpg" for number in (0, 2)]
    refused = {dotted("c.zip/../b.jpg"): "leads out", safe_key("left out/2024/part.tar/notes.txt"): "fits no pattern"}
    return Layout({dotted(name): None for name in names}, {"every": 2}, refused=refused)
