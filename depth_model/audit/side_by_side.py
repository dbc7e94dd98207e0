"""Two images beside each other as one small JPEG: what a person looks at to judge whether they show the same."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

_HEIGHT, _WIDEST, _GAP = 150, 300, 6


def side_by_side(left: np.ndarray, right: np.ndarray) -> bytes:
    """Return a JPEG, 150 pixels high, of two images, uint8 (H, W, 3), each in its own shape."""
    gap = np.full((_HEIGHT, _GAP, 3), 255, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate([_scaled(left), gap, _scaled(right)], 1)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _scaled(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    size = max(1, min(_WIDEST, round(width * _HEIGHT / height))), _HEIGHT
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
