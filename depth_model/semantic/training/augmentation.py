"""What fine-tuning to segmentation does to an image and its labels (docs/paper.md 6).

The released configuration's: a random scale, a crop in which no class may take up nearly all, a mirror image and
photometric distortion. Labels are never interpolated. Random numbers come from a generator that is handed in.
"""

from __future__ import annotations

import cv2
import numpy as np

from depth_model.networks.preprocessing import IMAGENET_MEAN
from depth_model.semantic.classes import IGNORE
from depth_model.shards.pool import resized_nearest
from depth_model.training.augmentation import adjust_brightness, adjust_hue, adjust_saturation

SCALES = np.arange(5, 21) / 10
"""Of the shorter side, relative to the crop: 0.5, 0.6, ... 2."""
LONGEST = 4
"""Of the longer side after scaling, relative to the crop."""
LARGEST_SHARE = 0.75
"""Of one class among the labeled pixels of a crop."""
TRIES = 10
BRIGHTNESS, CONTRAST, SATURATION, HUE = 32, (0.5, 1.5), (0.5, 1.5), 0.1
PADDING = tuple(round(255 * value) for value in IMAGENET_MEAN)
"""What normalization makes 0."""


def semantic_crop(
    image: np.ndarray, labels: np.ndarray, side: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (image uint8 (side, side, 3), labels uint8 (side, side), 255 = ignore) of one training sample.

    `image` is uint8 (H, W, 3), `labels` uint8 (h, w) of the same view. Where the scaled image is smaller than the
    crop, it is padded below and to the right with the mean color, and the labels with 255.
    """
    height, width = scaled_size(image.shape[:2], side, float(generator.choice(SCALES)))
    scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    classes = resized_nearest(labels, (height, width))
    rows, columns = _window(classes, side, generator)
    shown, classes = scaled[rows, columns], classes[rows, columns]
    if generator.random() < 0.5:
        shown, classes = shown[:, ::-1], classes[:, ::-1]
    distorted = photometric_distortion(np.ascontiguousarray(shown), generator)
    whole, mask = np.full((side, side, 3), PADDING, np.uint8), np.full((side, side), IGNORE, np.uint8)
    whole[: shown.shape[0], : shown.shape[1]] = distorted
    mask[: shown.shape[0], : shown.shape[1]] = classes
    return whole, mask


def scaled_size(shape: tuple[int, int], side: int, scale: float) -> tuple[int, int]:
    """Return (height, width) of which the shorter is `scale` x `side`, less where the longer would pass 4 x `side`."""
    factor = min(scale * side / min(shape), LONGEST * side / max(shape))
    return max(1, round(factor * shape[0])), max(1, round(factor * shape[1]))


def _window(labels: np.ndarray, side: int, generator: np.random.Generator) -> tuple[slice, slice]:
    """Draw where to cut `side` pixels each way: again while one class has three quarters, ten times at most."""
    for _ in range(TRIES):
        top, left = (int(generator.integers(max(length - side, 0) + 1)) for length in labels.shape)
        window = slice(top, top + side), slice(left, left + side)
        counts = np.bincount(labels[window].ravel(), minlength=IGNORE + 1)[:IGNORE]
        if np.count_nonzero(counts) > 1 and counts.max() < LARGEST_SHARE * counts.sum():
            break
    return window


def photometric_distortion(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return `image`, uint8 RGB, with brightness, contrast, saturation and hue each changed every second time.

    Up to 32 levels brighter or darker, contrast and saturation by 0.5 to 1.5, hue by a tenth of a turn; contrast
    before saturation and hue, or after.
    """
    brighter, contrasted, saturated, turned, first = generator.random(5) < 0.5
    level, contrast = generator.uniform(-BRIGHTNESS, BRIGHTNESS), generator.uniform(*CONTRAST)
    saturation, turn = generator.uniform(*SATURATION), generator.uniform(-HUE, HUE)
    if brighter:
        image = cv2.LUT(image, np.clip(np.arange(256) + level, 0, 255).astype(np.uint8))
    if contrasted and first:
        image = adjust_brightness(image, contrast)  # a factor on the values, as the released configuration has it
    if saturated:
        image = adjust_saturation(image, saturation)
    if turned:
        image = adjust_hue(image, turn)
    return adjust_brightness(image, contrast) if contrasted and not first else image
