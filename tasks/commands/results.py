"""What `depth-anything predict` writes of one picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model import files

if TYPE_CHECKING:
    import numpy as np

COLORS = "Spectral_r"
WRITTEN = (".color.png", ".png", ".npy")
"""What is written of every picture, beside a cloud."""


def write_disparity(disparity: np.ndarray, stem: Path, colors: str = COLORS, beside: np.ndarray | None = None) -> None:
    """Write float32 `disparity` (H, W) as `<stem>.npy`, and scaled to its own range as `.png` and `.color.png`, the
    latter in the color map `colors` of matplotlib and to the right of the image `beside` (H, W, 3) uint8 if given."""
    import numpy as np

    from depth_model.media.pictures import spread

    share = spread(disparity)
    _write_colored(share, stem, colors, beside)
    write_png((share * 65535).round().astype(np.uint16), stem, ".png")
    _write_npy(disparity, stem)


def write_meters(depth: np.ndarray, stem: Path, colors: str = COLORS, beside: np.ndarray | None = None) -> None:
    """Write float32 `depth` (H, W) in meters as `<stem>.npy`, as `.png` in whole millimeters (16 bits; 0 above 65.5 m)
    and by nearness as `.color.png`, in the color map `colors`, to the right of the image `beside` if given."""
    import numpy as np

    from depth_model.media.pictures import spread

    _write_colored(spread(1 / depth), stem, colors, beside)
    millimeters = np.rint(depth * 1000)
    write_png(np.where(millimeters <= 65535, millimeters, 0).astype(np.uint16), stem, ".png")
    _write_npy(depth, stem)


def write_results(disparity: np.ndarray, image: np.ndarray, stem: Path, given: argparse.Namespace) -> None:
    """Write all that `given` asks for of one picture (H, W, 3) and its `disparity` (H, W), under names from `stem`."""
    from depth_model.media.point_cloud import relative_depth

    write_disparity(disparity, stem, given.colors, image if given.side_by_side else None)
    _write_cloud(relative_depth(disparity, given.farthest), image, stem, given)


def write_metric_results(depth: np.ndarray, image: np.ndarray, stem: Path, given: argparse.Namespace) -> None:
    """Write all that `given` asks for of one picture (H, W, 3) and its `depth` (H, W) in meters."""
    write_meters(depth, stem, given.colors, image if given.side_by_side else None)
    _write_cloud(depth, image, stem, given)


def _write_cloud(depth: np.ndarray, image: np.ndarray, stem: Path, given: argparse.Namespace) -> None:
    from depth_model.media.point_cloud import camera, ply, points

    if given.intrinsics is None and given.field_of_view is None:
        return
    intrinsics = given.intrinsics or camera(given.field_of_view, *depth.shape)
    files.write_bytes(stem.with_name(stem.name + ".ply"), ply(points(depth, tuple(intrinsics)), image))


def _write_colored(share: np.ndarray, stem: Path, colors: str, beside: np.ndarray | None) -> None:
    """Write `share` (H, W) in [0, 1] in the color map `colors`, to the right of the image `beside` if given."""
    import numpy as np

    from depth_model.media.pictures import colored

    picture = colored(share, colors)
    write_png(picture if beside is None else np.concatenate([beside, picture], axis=1), stem, ".color.png")


def write_png(values: np.ndarray, stem: Path, suffix: str) -> None:
    """Write `values`, uint8 or uint16 of one or three channels, as PNG to `stem` with `suffix` added."""
    from depth_model.media.pictures import png

    files.write_bytes(stem.with_name(stem.name + suffix), png(values))


def _write_npy(values: np.ndarray, stem: Path) -> None:
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, values)
    files.write_bytes(stem.with_name(stem.name + ".npy"), buffer.getvalue())
