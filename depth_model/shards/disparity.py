"""From a stored target to what the losses see: disparity between 0 and 1 (docs/paper.md 1.1 and 1.2).

Which pixels have a label is decided here for the whole project; `labeled_pixels` is also what the manifest's
valid fraction, minimum and maximum are taken over.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_model.errors import BadInput

DEPTH_KINDS = ("metric_depth", "relative_depth")


def labeled_pixels(target: np.ndarray, kind: str) -> np.ndarray:
    """Return bool (H, W): where `target`, float32 (H, W) of target kind `kind`, has a label.

    Depth must be finite and positive, disparity finite and not negative (0 = infinitely far), affine disparity
    finite, or not 0 where `target` holds codes (uint16). Raises ValueError for an unknown kind.
    """
    if kind == "affine_disparity":
        return target > 0 if target.dtype == np.uint16 else np.isfinite(target)
    if kind in DEPTH_KINDS:
        return np.isfinite(target) & (target > 0)
    if kind == "disparity":
        return np.isfinite(target) & (target >= 0)
    raise ValueError(f"unknown target kind {kind!r}")


def normalized_disparity(
    target: np.ndarray,
    kind: str,
    sky: np.ndarray | None = None,
    part: Callable[[np.ndarray], np.ndarray] = lambda raster: raster,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (disparity float32 in [0, 1], valid bool) of what `part` takes of `target`, by default all of it.

    `target` is float32 (H, W), or uint16 codes of an affine disparity, 0 = no label (`rasters.decode_codes`).
    Depth t becomes 1/t; the map is then scaled to minimum 0 and maximum 1 over all its valid pixels (paper 3.1),
    whatever `part` (a crop) takes. Where `sky`, bool (H, W), is set and there is no label, disparity is 0 and the
    pixel counts as valid; a label is never overwritten. That 0 is written before the scaling, so that it means
    infinity, except for `affine_disparity`, whose unknown shift leaves only "as far as the farthest pixel": there it
    is written after. Pixels that are not valid hold 0. Raises BadInput for a map without two different disparities.
    """
    valid = labeled_pixels(target, kind)
    low, high = _range(target if valid.all() else target[valid], kind)
    if sky is not None and kind != "affine_disparity" and (sky & ~valid).any():
        low = 0.0
    if high <= low:
        raise BadInput(f"degenerate target: {int(valid.sum())} valid pixels, all of disparity {low:g}")
    target = part(target)
    valid = labeled_pixels(target, kind)
    scaled = _scaled(target, valid, kind, low, high)
    # Where sky counts before the scaling, its 0 is the minimum, and so stays 0.
    return scaled, valid if sky is None else valid | part(sky)


def _range(known: np.ndarray, kind: str) -> tuple[float, float]:
    """Return the least and the largest disparity of labels `known`; (0, 0) when there are none."""
    if not known.size:
        return 0.0, 0.0
    least, most = float(known.min()), float(known.max())
    return (1.0 / most, 1.0 / least) if kind in DEPTH_KINDS else (least, most)


def _scaled(target: np.ndarray, valid: np.ndarray, kind: str, low: float, high: float) -> np.ndarray:
    """Return float32 disparity, `low` to `high` scaled to 0 to 1, 0 where not `valid`."""
    whole = bool(valid.all())
    # Codes and their differences are exact in float32; other targets take the one rounding at the end.
    exact = np.float32 if target.dtype == np.uint16 else np.float64
    values = (target if whole else np.where(valid, target, target.dtype.type(1))).astype(exact)
    if kind in DEPTH_KINDS:
        np.divide(1.0, values, out=values)
    values -= exact(low)
    values /= exact(high - low)
    if not whole:
        values[~valid] = 0
    return values.astype(np.float32, copy=False)
