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


def depth_range(depth: np.ndarray, kind: str, protocol: Protocol) -> tuple[float, float]:
    """Return the (minimum, maximum) that counts and to which predictions are clipped, for `depth` (n,) > 0.

    Where the scale is unknown, a range in metres means nothing: the range of the image's own truth stands in.
    """
    if kind not in UNKNOWN_SCALE or not depth.size:
        return protocol.minimum, protocol.maximum
    # A hair wider, because the range is open at both ends.
    return float(depth.min()) * (1 - 1e-6), float(depth.max()) * (1 + 1e-6)
