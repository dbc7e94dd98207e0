"""What counts as ground truth on a set, as data: the range of depth that is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_model.datasets.sample import BadInput

UNKNOWN_SCALE = ("relative_depth", "disparity")


@dataclass(frozen=True)
class Protocol:
    """Ground truth counts if minimum < depth < maximum (metres); predictions are clipped to that range."""

    minimum: float
    maximum: float


GENERIC = Protocol(minimum=1e-3, maximum=80.0)
"""For a set without a protocol of its own: the range of KITTI, DDAD and DIODE outdoor (paper.md 4.1, 4.2)."""


def check_kind(kind: str | None) -> None:
    """Raise BadInput for a kind of target that leaves no depth: its disparity has an unknown shift."""
    if kind == "affine_disparity":
        raise BadInput("targets of kind affine_disparity have no depth to measure against, their shift is unknown")


def true_depth(target: np.ndarray, kind: str) -> np.ndarray:
    """Return depth (H, W) float32 of a target of `kind`, NaN where there is none.

    Disparity becomes 1 / disparity. Raises BadInput as `check_kind` does.
    """
    check_kind(kind)
    depth = np.where(np.isfinite(target) & (target > 0), target, np.nan)
    return 1 / depth if kind == "disparity" else depth


def depth_range(depth: np.ndarray, kind: str, protocol: Protocol) -> tuple[float, float]:
    """Return the (minimum, maximum) that counts and to which predictions are clipped.

    Where the scale is unknown, a range in metres means nothing: the range of the image's own truth stands in.
    """
    if kind not in UNKNOWN_SCALE or not np.isfinite(depth).any():
        return protocol.minimum, protocol.maximum
    # A hair wider, because the range is open at both ends.
    return float(np.nanmin(depth)) * (1 - 1e-6), float(np.nanmax(depth)) * (1 + 1e-6)
