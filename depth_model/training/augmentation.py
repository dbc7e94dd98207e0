"""What training does to images and labels before the network sees them (paper 3.1 and 3.2).

Labeled images are resized, cropped and flipped; unlabeled ones are strongly perturbed as well: color jitter
and Gaussian blur; CutMix follows in `depth_model.objectives`. Everything works on uint8 with OpenCV (about eight
times faster than Pillow) and draws from a generator that is handed in.
The strengths of the perturbation are not published; `Perturbation` names them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from depth_model.networks.preprocessing import network_size
from depth_model.training.settings import Perturbation


@dataclass(frozen=True)
class Crop:
    """A square of `side` pixels at (top, left) of an image resized to (height, width), mirrored if `flip`."""

    height: int
    width: int
    top: int
    left: int
    side: int
    flip: bool


def draw_crop(generator: np.random.Generator, height: int, width: int, side: int) -> Crop:
    """Draw a crop of an image of (height, width) pixels whose shorter side is resized to `side`."""
    tall, wide = network_size(height, width, side)
    top, left = int(generator.integers(tall - side + 1)), int(generator.integers(wide - side + 1))
    return Crop(tall, wide, top, left, side, bool(generator.random() < 0.5))


def crop_image(image: np.ndarray, crop: Crop) -> np.ndarray:
    """Return uint8 (side, side, 3): `image`, uint8 (H, W, 3), resized (bicubic), cropped and flipped."""
    resized = image
    if image.shape[:2] != (crop.height, crop.width):
        resized = cv2.resize(image, (crop.width, crop.height), interpolation=cv2.INTER_CUBIC)
    return _mirrored(resized[crop.top : crop.top + crop.side, crop.left : crop.left + crop.side], crop.flip)


def crop_raster(raster: np.ndarray, crop: Crop) -> np.ndarray:
    """Return (side, side): `raster`, (h, w) of any type and of the image's field of view, by nearest neighbor.

    Labels are never interpolated: a value between two objects would be a surface that is not there.
    """
    height, width = slice(crop.top, crop.top + crop.side), slice(crop.left, crop.left + crop.side)
    if raster.shape == (crop.height, crop.width):
        return _mirrored(raster[height, width], crop.flip)
    rows, columns = _nearest(raster.shape[0], crop.height)[height], _nearest(raster.shape[1], crop.width)[width]
    return np.take(raster[rows], columns[::-1] if crop.flip else columns, axis=1)


def _mirrored(window: np.ndarray, flip: bool) -> np.ndarray:
    """Return a copy of `window`, (H, W) or (H, W, 3), from right to left if `flip`."""
    if not flip:
        return window.copy()
    # OpenCV mirrors ten times as fast as numpy copies a reversed view, but knows no bool.
    mirrored = cv2.flip(window.view(np.uint8) if window.dtype == bool else window, 1)
    return mirrored.view(window.dtype)


def perturb(image: np.ndarray, strength: Perturbation, generator: np.random.Generator) -> np.ndarray:
    """Return `image`, uint8 (H, W, 3), strongly perturbed in color and sharpness (paper 3.2)."""
    if generator.random() < strength.jitter_probability:
        image = jitter_colors(image, strength, generator)
    if generator.random() < strength.blur_probability:
        image = cv2.GaussianBlur(image, (0, 0), generator.uniform(*strength.blur_sigma))
    return image


def jitter_colors(image: np.ndarray, strength: Perturbation, generator: np.random.Generator) -> np.ndarray:
    """Return `image`, uint8 (H, W, 3), with brightness, contrast, saturation and hue changed in random order."""
    adjustments = [
        (adjust_brightness, _factor(strength.brightness, generator)),
        (adjust_contrast, _factor(strength.contrast, generator)),
        (adjust_saturation, _factor(strength.saturation, generator)),
        (adjust_hue, generator.uniform(-strength.hue, strength.hue)),
    ]
    for number in generator.permutation(len(adjustments)):
        adjust, amount = adjustments[number]
        image = adjust(image, amount)
    return image


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Return `image`, uint8, blended with black: 0 gives black, 1 the image."""
    return cv2.LUT(image, _blend_table(0, factor))


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Return `image`, uint8 RGB, blended with its mean gray: 0 gives that gray, 1 the image."""
    mean = math.floor(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0] + 0.5)
    return cv2.LUT(image, _blend_table(mean, factor))


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Return `image`, uint8 RGB, blended with its gray version: 0 gives gray, 1 the image."""
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, factor, gray, 1 - factor, 0)


def adjust_hue(image: np.ndarray, turn: float) -> np.ndarray:
    """Return `image`, uint8 RGB, with its hue turned by `turn` full turns of the color circle."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(turn * 256) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def _factor(strength: float, generator: np.random.Generator) -> float:
    return generator.uniform(max(0.0, 1 - strength), 1 + strength)


def _blend_table(level: int, factor: float) -> np.ndarray:
    values = level + factor * (np.arange(256) - level)
    return np.clip(values, 0, 255).astype(np.uint8)


def _nearest(found: int, wanted: int) -> np.ndarray:
    """Return int (wanted,): which of `found` pixels lies at the center of each of `wanted`."""
    return (2 * np.arange(wanted) + 1) * found // (2 * wanted)
