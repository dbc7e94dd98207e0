"""Nothing on disk: two pictures are drawn."""

from __future__ import annotations

from . import ANY, Layout


def write(root):
    options = {"domain": "rooms", "count": 2, "height": 32, "width": 32}
    return Layout({"rooms-0-000000": ANY, "rooms-0-000001": ANY}, options, "metric_depth")
