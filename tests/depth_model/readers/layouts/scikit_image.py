"""Nothing of ours on disk: the motorcycle of the installed scikit-image."""

from __future__ import annotations

from . import ANY, Layout


def write(root):
    return Layout({"motorcycle_left": ANY}, {"subset": "motorcycle"}, "metric_depth")
