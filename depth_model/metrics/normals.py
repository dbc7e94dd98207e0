"""Surface normals of a depth map, and how far those of a prediction are off, as works on normals report it.

The normal of a pixel is the mean of those of the four triangles that it makes with its neighbors to the right, the
left, above and below, each of length 1 (as utils3d, which MoGe uses, takes it). A pixel counts where it and all four
neighbors have truth.
"""

from __future__ import annotations

import numpy as np

from depth_model.metrics.depth import NORMAL_ANGLES, NORMAL_METRICS

Camera = tuple[float, float, float, float]
"""(fx, fy, cx, cy) in pixels; pixel centers lie at whole numbers."""


def points(depth: np.ndarray, intrinsics: Camera) -> np.ndarray:
    """Return the points (H, W, 3) float64 that a pinhole camera sees: x right, y down, z forward.

    `depth` (H, W) is along z, in any unit.
    """
    fx, fy, cx, cy = intrinsics
    row, column = np.mgrid[: depth.shape[0], : depth.shape[1]]
    return np.stack([(column - cx) / fx * depth, (row - cy) / fy * depth, depth], axis=-1)


def normals(depth: np.ndarray, intrinsics: Camera) -> np.ndarray:
    """Return unit normals float64 (3, H - 2, W - 2) of the inner pixels of `depth` (H, W), which look to the camera.

    NaN where the pixel or one of its four neighbors has no depth (NaN).
    """
    places = np.moveaxis(points(depth, intrinsics), -1, 0)
    center = places[:, 1:-1, 1:-1]
    around = [places[:, rows, columns] - center for rows, columns in _NEIGHBORS]
    return _unit(sum(_unit(_cross(one, other)) for one, other in zip(around, [*around[1:], around[0]])))


_INNER = slice(1, -1)
# Above, left, below, right: the cross product of each with the next looks to the camera.
_NEIGHBORS = (
    (slice(None, -2), _INNER),
    (_INNER, slice(None, -2)),
    (slice(2, None), _INNER),
    (_INNER, slice(2, None)),
)


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.stack([one[i] * other[j] - one[j] * other[i] for i, j in ((1, 2), (2, 0), (0, 1))])


def _unit(vectors: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return vectors / np.sqrt(np.square(vectors).sum(0))


def normal_metrics(prediction: np.ndarray, target: np.ndarray, intrinsics: Camera | None) -> dict[str, float]:
    """Return every metric of NORMAL_METRICS for depth `prediction` against `target`, both (H, W) > 0, NaN = no truth.

    Degrees and shares of the pixels that count; NaN when none does, or the camera is not known.
    """
    angles = np.empty(0)
    if intrinsics is not None:
        cosine = np.sum(normals(prediction.astype(np.float64), intrinsics) * normals(target, intrinsics), axis=0)
        angles = np.rad2deg(np.arccos(np.clip(cosine[np.isfinite(cosine)], -1, 1)))
    if not angles.size:
        return {metric.key: float("nan") for metric in NORMAL_METRICS}
    values = (angles.mean(), np.median(angles), *(np.mean(angles < limit) for limit in NORMAL_ANGLES))
    return {metric.key: float(value) for metric, value in zip(NORMAL_METRICS, values, strict=True)}
