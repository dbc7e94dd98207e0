"""What metric fine-tuning does to an image and its depth before the network sees them (docs/paper.md 5).

The released fine-tuning's: KITTI's benchmark crop first, a small rotation, a mirror image, and slight changes of
gamma, brightness and color. The second Depth Anything's: a random square of the image, mirrored or not. Depth is never
interpolated. Random numbers come from a generator that is handed in.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from depth_model.errors import BadInput
from depth_model.metric.training.settings import MetricInput
from depth_model.metrics.crops import kb_window
from depth_model.training.augmentation import crop_image, crop_raster, draw_crop

ROTATION = 1.0
"""Largest rotation in degrees, either way."""
COLOR_PROBABILITY = 0.5
GAMMA = GAIN = (0.9, 1.1)


def benchmark_crop(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return KITTI's benchmark crop of `values` (h, w, ...), which show what a depth map of `shape` (H, W) shows.

    An image may have been scaled down; the same part of the view is cut from both. Raises BadInput for a depth map
    that is smaller than the crop.
    """
    try:
        window = kb_window(*shape)
    except BadInput as error:
        raise BadInput(f"{error}; set crop: none") from error
    scaled = zip(window, (found / true for found, true in zip(values.shape, shape)))
    return values[tuple(slice(round(part.start * scale), round(part.stop * scale)) for part, scale in scaled)]


def rotated(image: np.ndarray, depth: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Return `image`, uint8 (H, W, 3), and `depth`, float32 (h, w), turned about their centers.

    The image bilinear with black corners, the depth by nearest neighbor with NaN where it has none.
    """
    turned = Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR)
    labels = Image.fromarray(depth).rotate(degrees, Image.Resampling.NEAREST, fillcolor=float("nan"))
    return np.asarray(turned), np.asarray(labels)


def jittered(image: np.ndarray, brightness: float, generator: np.random.Generator) -> np.ndarray:
    """Return `image`, float32 (H, W, 3) in [0, 1], with gamma, brightness and the gain of each channel changed."""
    changed = image ** np.float32(generator.uniform(*GAMMA))
    changed = changed * np.float32(generator.uniform(1 - brightness, 1 + brightness))
    return np.clip(changed * generator.uniform(*GAIN, size=3).astype(np.float32), 0, 1)


def cropped(image: np.ndarray, depth: np.ndarray, settings: MetricInput) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of `image` (H, W, 3) and of `depth` (h, w) that counts. Raises what `benchmark_crop` raises."""
    if settings.crop == "none":
        return image, depth
    return benchmark_crop(image, depth.shape), benchmark_crop(depth, depth.shape)


def augmented(
    image: np.ndarray, depth: np.ndarray, settings: MetricInput, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (image float32 (H, W, 3) in [0, 1], depth float32 (h, w), NaN = none) of one training sample.

    `image` is uint8 (H, W, 3), `depth` float32 (h, w) of the same view. Raises what `benchmark_crop` raises.
    """
    image, depth = cropped(image, depth, settings)
    if settings.recipe == "v2":
        window = draw_crop(generator, *image.shape[:2], settings.height)
        return crop_image(image, window).astype(np.float32) / 255, crop_raster(depth, window)
    image, depth = rotated(image, depth, generator.uniform(-ROTATION, ROTATION))
    if generator.random() < 0.5:
        image, depth = image[:, ::-1], depth[:, ::-1]
    values = image.astype(np.float32) / 255
    if generator.random() < COLOR_PROBABILITY:
        values = jittered(values, settings.brightness, generator)
    return values, depth
