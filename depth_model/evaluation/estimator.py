"""What an estimator says of an image that a protocol cuts, resizes or mirrors, at the size of the truth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from depth_model.errors import BadInput
from depth_model.evaluation.cases import Case
from depth_model.evaluation.protocols import Protocol
from depth_model.metrics.crops import kb_window
from depth_model.prediction.estimator import Estimator


def cut(case: Case, protocol: Protocol) -> Case:
    """Return `case` as `protocol.image_crop` cuts its image and truth.

    Raises BadInput for an image of another size than its truth, and for one that is too small.
    """
    if protocol.image_crop == "none":
        return case
    image, target = case.image, case.target
    if image.shape[:2] != target.shape:
        raise BadInput(
            f"image of {image.shape[:2]}, truth of {target.shape}: they cannot be cut alike; raise collect.max_side"
        )
    inside = kb_window(*target.shape)
    intrinsics = case.intrinsics
    if intrinsics is not None:
        fx, fy, cx, cy = intrinsics
        intrinsics = fx, fy, cx - inside[1].start, cy - inside[0].start
    return replace(case, image=image[inside], target=target[inside], intrinsics=intrinsics)


def predicted(
    estimator: Estimator, image: np.ndarray, names: tuple[str, ...], size: tuple[int, ...], protocol: Protocol
) -> np.ndarray:
    """Return the prediction at `size` (h, w), that of the truth, for an image as `cut` returns it."""
    if estimator.stored:
        values = _cut_prediction(estimator.predict(image, names), size, protocol)
    else:
        shown = _shown(image, protocol)
        values = estimator.predict(shown, names)
        if protocol.flip_averaging:
            mirrored = estimator.predict(np.ascontiguousarray(shown[:, ::-1]), names)
            values = (values + mirrored[:, ::-1]) / 2
    return _enlarged(values, size, protocol.align_corners)


def _cut_prediction(values: np.ndarray, size: tuple[int, ...], protocol: Protocol) -> np.ndarray:
    if protocol.image_crop == "none" or values.shape == size:
        return values
    return values[kb_window(*values.shape)]


def _shown(image: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Return the image at the size that the protocol shows to the model; its aspect ratio may change."""
    height, width = image.shape[:2]
    if protocol.image_size is not None:
        height, width = protocol.image_size
    elif protocol.image_short_side is not None:
        scale = protocol.image_short_side / min(height, width)
        height, width = round(height * scale), round(width * scale)
    if (height, width) == image.shape[:2]:
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def _enlarged(values: np.ndarray, size: tuple[int, ...], align_corners: bool) -> np.ndarray:
    if values.shape == size:
        return values
    import torch
    from torch.nn import functional

    maps = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None, None]
    return functional.interpolate(maps, size, mode="bilinear", align_corners=align_corners)[0, 0].numpy()
