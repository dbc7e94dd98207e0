"""From what a model says to depth that can be compared: align by the protocol, then clip (docs/paper.md 4.1, 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_model.errors import BadInput
from depth_model.evaluation.protocols import Protocol
from depth_model.evaluation.truth import Truth
from depth_model.metrics.alignment import align_disparity, depth_of_disparity


@dataclass(frozen=True)
class Fit:
    """How predictions in `space` become depth: in the space of `protocol.alignment`, times `scale` plus `shift`."""

    space: str
    protocol: Protocol
    scale: float
    shift: float
    minimum: float
    maximum: float

    def depth(self, prediction: np.ndarray) -> np.ndarray:
        """Return depth float64 in [minimum, maximum] of `prediction`, of any shape."""
        aligned = _values(prediction, self.space, self.protocol) * self.scale + self.shift
        if self.protocol.alignment == "disparity":
            return depth_of_disparity(aligned, 1.0, 0.0, self.minimum, self.maximum)
        return np.clip(aligned, self.minimum, self.maximum)


def fit(prediction: np.ndarray, truth: Truth, space: str, protocol: Protocol) -> Fit:
    """Return how `prediction` (H, W) in `space` (see `Estimator`) is brought to `truth`, by `protocol`.

    Raises BadInput for a prediction that is not finite where truth counts, or that is not positive where its inverse is
    needed, and for one without a pixel to align on; ValueError for metric depth by a model that does not give meters.
    """
    if protocol.is_metric:
        if space != "metric_depth":
            raise ValueError(f"{protocol.name} measures meters; this model predicts {space} of unknown scale")
        return Fit(space, protocol, 1.0, 0.0, truth.minimum, truth.maximum)
    predicted = prediction.ravel().take(truth.places)
    if not np.isfinite(predicted).all():
        raise BadInput("the prediction is not finite")
    values = _values(predicted, space, protocol)
    if _is_inverted(space, protocol) and not (np.isfinite(values) & (values > 0)).all():
        raise BadInput(
            f"the prediction is not positive, so its inverse cannot be aligned as {protocol.alignment} "
            f"(--change alignment={space} aligns it as it is)"
        )
    true = 1 / (truth.depth + protocol.epsilon) if protocol.alignment == "disparity" else truth.depth
    chosen = _aligned_on(values, truth, protocol)
    if chosen is not None and not chosen.any():
        raise BadInput("no pixel to align on: the prediction is nowhere positive where truth counts")
    return Fit(space, protocol, *align_disparity(values, true, chosen), truth.minimum, truth.maximum)


def remark(prediction: np.ndarray, truth: Truth, found: Fit) -> str:
    """Return what `prediction` (H, W) looks like instead of what it was taken for, "" for nothing to remark."""
    if found.scale < 0:
        return "inverted (a negative scale fits best)"
    predicted = prediction.ravel().take(truth.places)
    if found.space == "depth" and _is_inverted(found.space, found.protocol):
        as_it_is, inverse = _unexplained(predicted, truth.depth), _unexplained(1 / predicted, 1 / truth.depth)
        if as_it_is < 0.1 * inverse and inverse > 0.01:
            return "like depth with a shift of its own (--change alignment=depth fits it better)"
    if found.protocol.is_metric and _correlation(predicted, truth.depth) < -0.5:
        return "inverted (like disparity, not meters)"
    if found.protocol.is_metric and 300 < np.median(predicted) / np.median(truth.depth) < 3000:
        return "like millimeters, not meters"
    return ""


def _unexplained(values: np.ndarray, true: np.ndarray) -> float:
    """Return the share of the variance of `true` that no scale and shift of `values` explains."""
    return 1 - _correlation(values, true) ** 2


def _correlation(values: np.ndarray, true: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):  # of a constant there is none: NaN
        return float(np.corrcoef(values, true)[0, 1])


def _values(prediction: np.ndarray, space: str, protocol: Protocol) -> np.ndarray:
    """Return `prediction` as float64 in the space of alignment, raised to the protocol's floor of disparity."""
    values = prediction.astype(np.float64)
    if protocol.fill_invalid:
        values = np.nan_to_num(values, nan=protocol.minimum, posinf=protocol.maximum, neginf=protocol.minimum)
    if space == "disparity" and protocol.prediction_floor is not None:
        values = np.maximum(values, protocol.prediction_floor)
    if not _is_inverted(space, protocol):
        return values
    with np.errstate(divide="ignore"):
        return 1 / values


def _is_inverted(space: str, protocol: Protocol) -> bool:
    return (space == "disparity") != (protocol.alignment == "disparity")


def _aligned_on(values: np.ndarray, truth: Truth, protocol: Protocol) -> np.ndarray | None:
    """Return bool (n,) of the pixels of truth to align on, None for all."""
    side = protocol.alignment_side
    height, width = truth.shape
    on_grid = None
    if side is not None and max(height, width) > side:
        share = side / max(height, width)
        on_grid = _kept(width, share)[truth.places % width]
        if not protocol.alignment_columns:
            on_grid &= _kept(height, share)[truth.places // width]
    if not protocol.positive_only:
        return on_grid
    return values > 0 if on_grid is None else on_grid & (values > 0)


def _kept(size: int, share: float) -> np.ndarray:
    """Return bool (size,): which lines a nearest-neighbor reduction by `share` keeps."""
    kept = np.zeros(size, bool)
    kept[np.minimum((np.arange(int(size * share)) / share).astype(int), size - 1)] = True
    return kept
