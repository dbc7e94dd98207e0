"""A colored point cloud of one picture and its disparity, as a binary PLY file that viewers open."""

from __future__ import annotations

import math

import numpy as np

VERTEX = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")])


def relative_depth(disparity: np.ndarray, farthest: float) -> np.ndarray:
    """Return depth float64 (H, W) from 1, where `disparity` (H, W) is largest, to `farthest`, where it is least.

    Disparity has an unknown scale and shift (docs/paper.md 8.4), so how far the farthest point is cannot follow
    from it: it has to be assumed. Flat disparity is at depth 1. Raises ValueError unless `farthest` > 1.
    """
    if not farthest > 1:
        raise ValueError(f"farthest = {farthest}: must be above 1, the depth of the nearest point")
    low, high = float(disparity.min()), float(disparity.max())
    nearness = (disparity.astype(np.float64) - low) / (high - low) if high > low else np.ones(disparity.shape)
    return 1 / (nearness + (1 - nearness) / farthest)


def camera(field_of_view: float, height: int, width: int) -> tuple[float, float, float, float]:
    """Return (fx, fy, cx, cy) in pixels of a picture whose horizontal `field_of_view` is known, in degrees.

    Pixels are square, the optical axis goes through the center, pixel centers lie at whole numbers. Raises ValueError
    unless 0 < `field_of_view` < 180.
    """
    if not 0 < field_of_view < 180:
        raise ValueError(f"field of view of {field_of_view} degrees: must be between 0 and 180")
    focal = width / 2 / math.tan(math.radians(field_of_view) / 2)
    return focal, focal, (width - 1) / 2, (height - 1) / 2


def ply(places: np.ndarray, image: np.ndarray) -> bytes:
    """Return a binary little-endian PLY of `places` (H, W, 3) in the colors of `image` (H, W, 3) uint8, by rows."""
    vertices = np.empty(places.shape[0] * places.shape[1], VERTEX)
    for name, values in zip("xyz", places.reshape(-1, 3).T, strict=True):
        vertices[name] = values
    for name, values in zip(("red", "green", "blue"), image.reshape(-1, 3).T, strict=True):
        vertices[name] = values
    types = {"f": "float", "u": "uchar"}
    properties = "".join(f"property {types[VERTEX[name].kind]} {name}\n" for name in VERTEX.names)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n{properties}end_header\n"
    return header.encode() + vertices.tobytes()
