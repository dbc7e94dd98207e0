"""What `depth-anything predict` makes of one picture and its depth, as bytes and as files."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model import files

if TYPE_CHECKING:
    import numpy as np

COLORS = "Spectral_r"
RESOLUTION = 512
"""Pixels of the shorter side of a conditioning image: what Stable Diffusion 1.5 and its ControlNets were trained at."""
MAPS, CONDITIONING = "maps", "conditioning"
WRITTEN = {MAPS: (".color.png", ".png", ".npy"), CONDITIONING: (".conditioning.png",)}
"""What is written of every picture for each value of --as, beside a cloud."""


def resolution(text: str) -> int:
    """Return the shorter side of a conditioning image in pixels that `text` gives."""
    from depth_model.media.conditioning import STRIDE

    value = int(text)
    if value <= 0 or value % STRIDE:
        raise argparse.ArgumentTypeError(f"{text}: must be a positive multiple of {STRIDE}")
    return value


def gray_png(metric: bool, values: np.ndarray) -> bytes:
    """Return float32 `values` (H, W) as a PNG of 16 bits: meters in whole millimeters (0 above 65.5 m) when `metric`,
    else disparity from its least to its largest."""
    import numpy as np

    from depth_model.media.pictures import png, spread

    codes = np.rint(values * 1000) if metric else (spread(values) * 65535).round()
    return png(np.where(codes <= 65535, codes, 0).astype(np.uint16))


def color_map(name: str) -> str:
    """Return the name of a color map as the command line gives it."""
    from difflib import get_close_matches

    from matplotlib import colormaps

    if name not in colormaps:
        near = get_close_matches(name, list(colormaps), n=3) or [COLORS]
        raise argparse.ArgumentTypeError(f"{name}: matplotlib has no such color map; perhaps {', '.join(near)}")
    return name


def color_png(metric: bool, values: np.ndarray, colors: str = COLORS, beside: np.ndarray | None = None) -> bytes:
    """Return the nearness of `values` (H, W), in their own range, as a PNG in the color map `colors` of matplotlib, to
    the right of the image `beside` (H, W, 3) uint8 if given."""
    import numpy as np

    from depth_model.media.pictures import colored, png, spread

    picture = colored(spread(1 / values if metric else values), colors)
    return png(picture if beside is None else np.concatenate([beside, picture], axis=1))


def npy(values: np.ndarray) -> bytes:
    """Return `values` as a file of NumPy."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def cloud_ply(
    metric: bool,
    values: np.ndarray,
    image: np.ndarray,
    intrinsics: tuple[float, float, float, float],
    farthest: float,
    step: int = 1,
) -> bytes:
    """Return the point cloud of `values` (H, W) in the colors of `image` (H, W, 3): in meters when `metric`, else from
    depth 1 to `farthest`. `intrinsics` are those of the whole picture; of it every `step`-th row and column is taken.
    """
    from depth_model.media.point_cloud import ply, relative_depth
    from depth_model.metrics.normals import points

    depth = (values if metric else relative_depth(values, farthest))[::step, ::step]
    fx, fy, cx, cy = (value / step for value in intrinsics)
    return ply(points(depth, (fx, fy, cx, cy)), image[::step, ::step])


def frame_picture(shares: np.ndarray, given: argparse.Namespace) -> np.ndarray:
    """Return uint8 (h, w, 3) of `shares` (H, W) of a range that is near at 1: colored, or for a ControlNet."""
    from depth_model.media.conditioning import conditioning_image
    from depth_model.media.pictures import colored

    if given.form == CONDITIONING:
        return conditioning_image(shares, given.resolution)
    return colored(shares, given.colors)


def write_results(
    metric: bool,
    values: np.ndarray,
    image: np.ndarray,
    stem: Path,
    given: argparse.Namespace,
    limits: tuple[float, float] | None = None,
) -> None:
    """Write all that `given` asks for of one picture (H, W, 3) and its float32 `values` (H, W), meters when `metric`
    and else disparity, under names from `stem`. `limits` of nearness are those of the clip that a frame is of."""
    made = (
        _conditioning(metric, values, given, limits)
        if given.form == CONDITIONING
        else _maps(metric, values, image, given)
    )
    for suffix, content in made.items():
        files.write_bytes(stem.with_name(stem.name + suffix), content)


def _conditioning(
    metric: bool, values: np.ndarray, given: argparse.Namespace, limits: tuple[float, float] | None
) -> dict[str, bytes]:
    from depth_model.media.pictures import png, spread
    from depth_model.prediction.clip import shares

    nearness = 1 / values if metric else values
    shown = spread(nearness) if limits is None else shares(nearness, limits)
    return {WRITTEN[CONDITIONING][0]: png(frame_picture(shown, given))}


def _maps(metric: bool, values: np.ndarray, image: np.ndarray, given: argparse.Namespace) -> dict[str, bytes]:
    from depth_model.media.point_cloud import camera

    made = {
        ".color.png": color_png(metric, values, given.colors, image if given.side_by_side else None),
        ".png": gray_png(metric, values),
        ".npy": npy(values),
    }
    if given.intrinsics is not None or given.field_of_view is not None:
        intrinsics = given.intrinsics or camera(given.field_of_view, *values.shape)
        made[".ply"] = cloud_ply(metric, values, image, tuple(intrinsics), given.farthest)
    return made
