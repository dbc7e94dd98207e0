"""What bad weather, a dark evening, a moving camera or a cheap file do to an image, in five severities.

The strengths of noise, blur and JPEG are those of ImageNet-C (Hendrycks and Dietterich 2019), which RoboDepth and the
later works on depth use too; blur grows with the image, as if it had 224 pixels. Fog follows Koschmieder's law over the
true depth of the image, with light taken linear. Night is a short exposure: few photons, little of it brightened.
The truth of an image does not change. The same image, key and severity give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import cv2
import numpy as np

TRANSMISSION = (0.8, 0.65, 0.5, 0.35, 0.2)
"""Of fog: the share of light that arrives from the median depth of the image, whatever the unit of depth."""
AIR = 0.8
"""Brightness of fog, linear."""
SKY_REACH = 0.1
"""What is farther than this share of the height from any truth is taken for sky."""
NIGHT = ((0.25, 800), (0.15, 300), (0.1, 120), (0.06, 60), (0.04, 30))
"""Brightness, and photons of a white pixel."""
DEFOCUS = (3, 4, 6, 8, 10)
MOTION = (10, 15, 20, 25, 30)
"""Radius of the disk and length of the line in pixels of an image of REFERENCE_SIDE."""
REFERENCE_SIDE = 224
NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)
JPEG = (25, 18, 15, 10, 7)


def corrupted(image: np.ndarray, depth: np.ndarray, kind: str, severity: int, key: str) -> np.ndarray:
    """Return `image` uint8 (H, W, 3) under corruption `kind`, one of CORRUPTIONS, of `severity` from 1 to 5.

    `depth` (h, w) is its true depth in any unit, NaN where unknown; `key` names it, and with kind and severity is the
    seed of what is random.
    """
    digest = hashlib.sha256(f"{key} {kind} {severity}".encode()).digest()
    return _KINDS[kind](image, depth, severity - 1, np.random.default_rng(list(digest)))


def _fog(image: np.ndarray, depth: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    away = cv2.resize(_filled(depth), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    arrives = TRANSMISSION[level] ** (away / np.nanmedian(depth))[:, :, None]
    return _encoded(_linear(image) * arrives + AIR * (1 - arrives))


def _filled(depth: np.ndarray) -> np.ndarray:
    """Return `depth` as float64, with the nearest known one where there is none and infinity in what may be sky."""
    known = np.isfinite(depth) & (depth > 0)
    distance, nearest = cv2.distanceTransformWithLabels(
        np.uint8(~known), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.zeros(nearest.max() + 1)
    by_label[nearest[known]] = depth[known]
    return np.where(distance > SKY_REACH * len(depth), np.inf, by_label[nearest])


def _night(image: np.ndarray, depth: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    brightness, photons = NIGHT[level]
    return _encoded(brightness * generator.poisson(_linear(image) * photons) / photons)


def _defocus_blur(image: np.ndarray, depth: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    radius = DEFOCUS[level] * min(image.shape[:2]) / REFERENCE_SIDE
    side = np.arange(-int(np.ceil(radius)), int(np.ceil(radius)) + 1)
    return _filtered(image, np.hypot(*np.meshgrid(side, side)) <= radius)


def _motion_blur(image: np.ndarray, depth: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    half = MOTION[level] * min(image.shape[:2]) / REFERENCE_SIDE / 2
    angle, reach = generator.uniform(-np.pi / 4, np.pi / 4), int(np.ceil(half))
    line = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    step = np.rint(half * np.array([np.cos(angle), np.sin(angle)])).astype(int)
    cv2.line(line, (reach - step).tolist(), (reach + step).tolist(), 1)
    return _filtered(image, line)


def _filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def _noise(image: np.ndarray, depth: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    noisy = image / 255 + generator.normal(0, NOISE[level], image.shape)
    return (np.clip(noisy, 0, 1) * 255).round().astype(np.uint8)


def _jpeg(image: np.ndarray, depth: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG[level]])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])


def _linear(image: np.ndarray) -> np.ndarray:
    return (image / 255) ** 2.2


def _encoded(light: np.ndarray) -> np.ndarray:
    return (np.clip(light, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)


_KINDS: dict[str, Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "fog": _fog,
    "night": _night,
    "defocus_blur": _defocus_blur,
    "motion_blur": _motion_blur,
    "noise": _noise,
    "jpeg": _jpeg,
}
