"""From a stored target to what the losses see: disparity between 0 and 1 (paper.md 1.1 and 1.2).

Which pixels have a label is decided here for the whole project; `labelled_pixels` is also what the manifest's
valid fraction, minimum and maximum are taken over.
"""

from __future__ import annotations

import numpy as np

from depth_model.datasets.sample import BadInput

DEPTH_KINDS = ("metric_depth", "relative_depth")


def labelled_pixels(target: np.ndarray, kind: str) -> np.ndarray:
    """Return bool (H, W): where `target`, float32 (H, W) of target kind `kind`, has a label.

    Depth must be finite and positive, disparity finite and not negative (0 = infinitely far), affine disparity
    finite. Raises ValueError for an unknown kind.
    """
    if kind == "affine_disparity":
        return np.isfinite(target)
    if kind in DEPTH_KINDS:
        return np.isfinite(target) & (target > 0)
    if kind == "disparity":
        return np.isfinite(target) & (target >= 0)
    raise ValueError(f"unknown target kind {kind!r}")


def normalised_disparity(target: np.ndarray, kind: str, sky: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return (disparity float32 (H, W) in [0, 1], valid bool (H, W)) of `target`, float32 (H, W).

    Depth t becomes 1/t; the map is then scaled to minimum 0 and maximum 1 over its valid pixels (paper 3.1).
    Where `sky`, bool (H, W), is set and there is no label, disparity is 0 and the pixel counts as valid; a label
    is never overwritten. That 0 is written before the scaling, so that it means infinity, except for
    `affine_disparity`, whose unknown shift leaves only "as far as the farthest pixel": there it is written after.
    Pixels that are not valid hold 0. Raises BadInput for a map without two different disparities.
    """
    valid = labelled_pixels(target, kind)
    disparity = np.zeros(target.shape, np.float64)
    disparity[valid] = 1.0 / target[valid].astype(np.float64) if kind in DEPTH_KINDS else target[valid]
    if sky is None or kind == "affine_disparity":
        normalised = _scaled(disparity, valid)
        return normalised, valid if sky is None else valid | sky
    valid = valid | sky
    return _scaled(disparity, valid), valid


def _scaled(disparity: np.ndarray, valid: np.ndarray) -> np.ndarray:
    values = disparity[valid]
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    if high <= low:
        raise BadInput(f"degenerate target: {values.size} valid pixels, all of disparity {low:g}")
    if values.size == disparity.size:  # as every pseudo label: no gathering and scattering
        return ((disparity - low) / (high - low)).astype(np.float32)
    scaled = np.zeros(disparity.shape, np.float32)
    scaled[valid] = (values - low) / (high - low)
    return scaled
