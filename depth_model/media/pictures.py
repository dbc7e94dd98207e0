"""Colored pictures of maps, and pictures as PNG. Writes no file."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def spread(values: np.ndarray) -> np.ndarray:
    """Return `values` (H, W) shifted and scaled to [0, 1], their own range; zeros when they are all the same."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(high - low, np.finfo(np.float32).tiny)


def colored(shares: np.ndarray, colors: str) -> np.ndarray:
    """Return uint8 (H, W, 3): `shares` (H, W) in [0, 1] in matplotlib's color map `colors`."""
    from matplotlib import colormaps

    return (colormaps[colors](shares)[:, :, :3] * 255).round().astype(np.uint8)


def png(values: np.ndarray) -> bytes:
    """Return `values`, uint8 or uint16 (H, W) or uint8 (H, W, 3), as the bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()
