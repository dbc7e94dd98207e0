"""What `depth-anything predict` writes of one picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model import files

if TYPE_CHECKING:
    import numpy as np

COLORS = "Spectral_r"


def write_disparity(disparity: np.ndarray, stem: Path, colors: str = COLORS, beside: np.ndarray | None = None) -> None:
    """Write float32 `disparity` (H, W) as `<stem>.npy`, and scaled to its own range as `.png` and `.color.png`, the
    latter in the colour map `colors` of matplotlib and to the right of the image `beside` (H, W, 3) uint8 if given."""
    import io

    import numpy as np
    from matplotlib import colormaps
    from PIL import Image

    low, high = float(disparity.min()), float(disparity.max())
    share = (disparity - low) / max(high - low, np.finfo(np.float32).tiny)
    colored = (colormaps[colors](share)[:, :, :3] * 255).round().astype(np.uint8)
    colored = colored if beside is None else np.concatenate([beside, colored], axis=1)
    grey = (share * 65535).round().astype(np.uint16)
    for suffix, picture in ((".png", Image.fromarray(grey)), (".color.png", Image.fromarray(colored))):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        files.write_bytes(stem.with_name(stem.name + suffix), buffer.getvalue())
    buffer = io.BytesIO()
    np.save(buffer, disparity)
    files.write_bytes(stem.with_name(stem.name + ".npy"), buffer.getvalue())


def write_results(disparity: np.ndarray, image: np.ndarray, stem: Path, given: argparse.Namespace) -> None:
    """Write all that `given` asks for of one picture (H, W, 3) and its `disparity` (H, W), under names from `stem`."""
    from depth_model.point_cloud import ply, points, relative_depth

    write_disparity(disparity, stem, given.colors, image if given.side_by_side else None)
    if given.field_of_view is not None:
        places = points(relative_depth(disparity, given.farthest), given.field_of_view)
        files.write_bytes(stem.with_name(stem.name + ".ply"), ply(places, image))
