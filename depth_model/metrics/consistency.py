"""How steady the depth of a clip is: the temporal alignment error (TAE) of Video Depth Anything's evaluation.

Every map is carried by the true movement of the camera into the frame after it and into the one before, and compared
with the map there. The scene must stand still where it counts. Finds no movement itself and reads no video.
"""

from __future__ import annotations

import numpy as np

from depth_model.metrics.alignment import align_disparity, depth_of_disparity
from depth_model.metrics.depth import NEAREST


def temporal_alignment_error(
    depth: np.ndarray, intrinsics: np.ndarray, poses: np.ndarray, counted: np.ndarray | None = None
) -> float:
    """Return the TAE of a clip in percent: the mean of |depth - carried depth| / depth over both directions.

    `depth` (T, H, W) > 0 is along the optical axis, in the unit of the translations of `poses` (T, 4, 4), from the
    camera to the world; `intrinsics` (T, 3, 3) in pixels, whose centers lie at whole numbers; `counted` bool (T, H, W)
    leaves out what moves by itself (None: nothing). Two frames that share no pixel have an error of 0. Raises
    ValueError for fewer than two frames.

    Chen et al. 2025, section 4.1; as their `eval_tae.py`.
    """
    if len(depth) < 2:
        raise ValueError(f"{len(depth)} frames: an error between frames takes two")
    counted = np.ones(depth.shape, bool) if counted is None else counted
    errors = []
    for one, two in zip(range(len(depth) - 1), range(1, len(depth))):
        forward = np.linalg.inv(poses[two]) @ poses[one]
        # The frame before lends its intrinsics to both directions, as the authors' program does.
        errors.append(_error(depth[one], depth[two], forward, intrinsics[one], counted[two]))
        errors.append(_error(depth[two], depth[one], np.linalg.inv(forward), intrinsics[one], counted[one]))
    return 100 * float(np.mean(errors))


def clip_depth(disparity: np.ndarray, truth: np.ndarray, maximum: float) -> np.ndarray:
    """Return depth float64 (T, H, W) in meters of a whole clip's `disparity` (T, H, W), aligned by one scale and shift.

    `truth` (T, H, W) in meters; what is not between NEAREST and `maximum` does not count. One fit for all frames leaves
    the flicker of a relative model in. Raises ValueError when no pixel counts.
    """
    scale, shift = align_disparity(disparity, 1 / np.where(truth > 0, truth, 1), (truth > NEAREST) & (truth < maximum))
    return depth_of_disparity(disparity, scale, shift, NEAREST, maximum)


def _error(depth: np.ndarray, other: np.ndarray, movement: np.ndarray, camera: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean relative difference of `other` (H, W) to `depth` (H, W) once that is carried into its frame."""
    carried = _carried(depth, movement, camera)
    known = (carried > 0) & (other > 0) & mask
    return float(np.mean(np.abs(other[known] - carried[known]) / other[known])) if known.any() else 0.0


def _carried(depth: np.ndarray, movement: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Return `depth` (H, W) as a camera sees it after `movement` (4, 4); 0 where no pixel lands, the last one wins."""
    height, width = depth.shape
    rows, columns = np.mgrid[:height, :width]
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1).reshape(-1, 3) @ np.linalg.inv(camera).T
    points = (rays * depth.reshape(-1, 1)) @ movement[:3, :3].T + movement[:3, 3]
    points = points[points[:, 2] > 0]
    column, row = np.rint((points @ camera.T)[:, :2] / points[:, 2:]).T.astype(np.int64)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    carried = np.zeros(depth.shape)
    carried[row[inside], column[inside]] = points[inside, 2]
    return carried
