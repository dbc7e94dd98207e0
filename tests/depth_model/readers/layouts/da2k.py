"""Two images with pairs, and annotations of one that is not there and one outside of the folder."""

from __future__ import annotations

import json

from . import Layout, save_bytes, save_picture

ANNOTATIONS = {
    "images/underwater/fish.jpg": [{"point1": [3, 20], "point2": [10, 1], "closer_point": "point1"}],
    "images/indoor/stuhl ä.png": [
        {"point1": [0, 0], "point2": [1, 2], "closer_point": "point2"},
        {"point1": [5, 6], "point2": [7, 8], "closer_point": "point1"},
    ],
    "images/aerial/gone.jpg": [],
    "../../etc/hostname": [],
}


def write(root):
    save_picture(root / "images" / "underwater" / "fish.jpg")
    save_picture(root / "images" / "indoor" / "stuhl ä.png")
    save_bytes(root / "annotations.json", json.dumps(ANNOTATIONS).encode())
    return Layout(
        dict.fromkeys(("images/underwater/fish", "images/indoor/stuhl__-05f9e4b4")),
        refused={"images/aerial/gone": "gone.jpg is missing", "__/__/etc/hostname-9d089ba9": "link leads out"},
    )
