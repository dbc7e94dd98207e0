"""How teacher and student are validated: relative depth of whole images by the generic protocol (docs/evaluation.md).

Images keep their aspect ratio, the shorter side is that of the training crops, and labels are brought to the
network's resolution, so that a measurement costs one pass and nothing is enlarged. Not the figures of the evaluation,
which takes labels at their own size.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import torch

from depth_model.errors import BadInput
from depth_model.metrics.alignment import align_disparity, depth_of_disparity
from depth_model.metrics.depth import FARTHEST, FEWEST_PIXELS, NEAREST
from depth_model.networks import DepthAnything
from depth_model.networks.preprocessing import network_size
from depth_model.shards.disparity import labeled_pixels
from depth_model.shards.pool import SamplePool, resized_nearest
from depth_model.training.batches import Batch, network_input
from depth_model.training.validation import DEPTH_SUMS, HeldOut, Validation, depth_sums, depth_validation


def relative_validation(held_out: HeldOut | None, side: int, patch: int) -> Validation | None:
    """Return how a relative model is measured on `held_out`, seeing images of shorter side `side`; None without any."""
    if held_out is None:
        return None
    return depth_validation(held_out, partial(whole_image, held_out.pool, side, patch), relative_score)


def whole_image(pool: SamplePool, side: int, patch: int, number: int) -> Batch:
    """Return sample `number` as the network sees it: images uint8 (1, h, w, 3), target float32 (h, w), NaN = no label,
    its `kind`, and keys. Raises BadInput for a sample without a label."""
    sample = pool.load(number)
    key = f"{sample.source}/{sample.key}"
    if sample.target is None:
        raise BadInput(f"{key}: has no label to be measured against")
    size = network_size(*sample.image.shape[:2], side, patch)
    image = sample.image
    if image.shape[:2] != size:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
    target = np.ascontiguousarray(resized_nearest(sample.target, size))
    return {
        "images": torch.from_numpy(image)[None],
        "target": torch.from_numpy(target),
        "kind": sample.target_kind,
        "keys": [key],
    }


def relative_score(model: DepthAnything, batch: Batch) -> np.ndarray:
    """Return `depth_sums` of the model's disparity of one image, aligned; zeros for an image without enough truth."""
    disparity = model(network_input(batch["images"]))[0].float().cpu().numpy()
    return relative_sums(disparity, batch["target"].cpu().numpy(), batch["kind"])


def relative_sums(prediction: np.ndarray, target: np.ndarray, kind: str) -> np.ndarray:
    """Return `depth_sums` of disparity `prediction` (h, w) against `target` (h, w) of `kind`, aligned by least squares;
    zeros where fewer than 10 pixels of truth count."""
    counts = labeled_pixels(target, kind) & (target > 0)
    depth = target[counts].astype(np.float64)
    depth = 1 / depth if kind == "disparity" else depth
    low, high = NEAREST, FARTHEST
    if kind == "metric_depth":
        inside = (depth > low) & (depth < high)
        counts[counts] = inside
        depth = depth[inside]
    if depth.size < FEWEST_PIXELS:
        return np.zeros(DEPTH_SUMS)
    if kind != "metric_depth":  # meters mean nothing there
        low, high = float(depth.min()), float(depth.max())
    predicted = prediction[counts]
    if not np.isfinite(predicted).all():
        return depth_sums(predicted, depth)
    return depth_sums(depth_of_disparity(predicted, *align_disparity(predicted, 1 / depth), low, high), depth)
