"""Recognising a model that has learned nothing, so that no stage passes one on.

The output of the network ends in a ReLU. When it dies, the prediction is 0 everywhere, no gradient flows, and no
later step can mend it. A constant prediction has an affine-invariant loss of exactly 1, because the normalised
target has a mean absolute value of 1: a model whose loss is not clearly below 1 is no better than a constant.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from depth_model.errors import UserError
from depth_model.training.history import History

CONSTANT = 0.95
"""Largest mean affine-invariant loss on labelled images at which a model counts as better than a constant."""
FLAT = 1e-5
"""Mean deviation of disparity per image below which the output has collapsed; the loss divides by 1e-6 at least."""

_REMEDY = "set another seed in params.yaml, lower the learning rates or give more steps"


def prediction_health(disparity: Tensor) -> dict[str, Tensor]:
    """Return the fraction of positive pixels and the mean deviation per image of disparity (B, H, W)."""
    values = disparity.detach().float()
    return {
        "prediction/positive_fraction": (values > 0).float().mean(),
        "prediction/scale": values.flatten(1).std(dim=1).mean(),
    }


def health_counts(images: int) -> dict[str, float]:
    """Return over how many images each mean of `prediction_health` is."""
    return {"prediction/positive_fraction": images, "prediction/scale": images}


def ailing(values: Mapping[str, float]) -> str:
    """Return what is wrong with an output of `prediction_health`; empty when it is alive."""
    if values["prediction/positive_fraction"] == 0:
        return "the last ReLU is dead, the prediction is 0 everywhere and cannot recover"
    if values["prediction/scale"] < FLAT:
        return f"the prediction has collapsed to a constant, its deviation is {values['prediction/scale']:.2g}"
    return ""


def check_learned(name: str, history: History) -> None:
    """Raise UserError unless the loss on labelled images over the last tenth lies between 0 and `CONSTANT`.

    It is exactly 0 when no labelled image was usable.
    """
    loss = history.recent("affine_invariant", max(1, len(history.rows) // 10))
    if not loss < CONSTANT:
        raise UserError(
            f"{name}: no better than a constant prediction: the affine-invariant loss ends at {loss:.3f}, a constant"
            f" has 1, less than {CONSTANT} is needed; {_REMEDY}"
        )
    if loss == 0:
        raise UserError(
            f"{name}: no labelled image had a usable target; look at the manifests in data/labeled"
        )
