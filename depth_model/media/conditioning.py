"""Depth as the image that released depth ControlNets are conditioned on (paper, figure 4). Writes no file.

What the annotator of ControlNet, MiDaS, made of the pictures that they were trained on: 8 bits, the nearest point of
the picture white and the farthest black, three equal channels. diffusers divides it by 255 and takes it as it is where
both sides are multiples of `STRIDE`; ControlNet's own program rounds them to 64.
"""

from __future__ import annotations

import cv2
import numpy as np

STRIDE = 8
"""Pixels of an image to one of Stable Diffusion's latents."""


def conditioning_image(shares: np.ndarray, short_side: int) -> np.ndarray:
    """Return uint8 (h, w, 3) of `shares` (H, W) in [0, 1], 1 the nearest point; `conditioning_size` gives (h, w).

    Cut off to whole steps, not rounded, as the annotator does.
    """
    height, width = conditioning_size(*shares.shape, short_side)
    gray = (np.clip(shares, 0, 1) * 255).astype(np.uint8)
    way = cv2.INTER_AREA if height < shares.shape[0] else cv2.INTER_LINEAR
    return np.repeat(cv2.resize(gray, (width, height), interpolation=way)[:, :, None], 3, axis=2)


def conditioning_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return (height, width) with the shorter side near `short_side` pixels, both multiples of STRIDE, never 0."""
    scale = short_side / min(height, width)
    rounded = (max(STRIDE, STRIDE * round(scale * side / STRIDE)) for side in (height, width))
    return next(rounded), next(rounded)
