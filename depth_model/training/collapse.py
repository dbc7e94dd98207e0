"""Recognising a model that has learned nothing, so that no stage passes one on.

The output of the network ends in a ReLU. When it dies, the prediction is 0 everywhere, no gradient flows, and no
later step can mend it. A constant prediction has an affine-invariant loss of exactly 1, because the normalised
target has a mean absolute value of 1: a model whose loss is not clearly below 1 is no better than a constant.
"""

from __future__ import annotations

from torch import Tensor

from depth_model.training.history import History
from depth_model.training.loop import TrainingFailed

CONSTANT = 0.95
"""Largest mean affine-invariant loss on labelled images at which a model counts as better than a constant."""
DEAD_ROWS = 20
"""Rows of the history without a single positive output after which a run is given up."""

_REMEDY = "set another seed in params.yaml, lower the learning rates or give more steps"


def prediction_health(disparity: Tensor) -> dict[str, Tensor]:
    """Return the fraction of positive pixels and the mean deviation per image of disparity (B, H, W)."""
    values = disparity.detach().float()
    return {
        "prediction/positive_fraction": (values > 0).float().mean(),
        "prediction/scale": values.flatten(1).std(dim=1).mean(),
    }


def stop_when_dead(name: str, history: History) -> None:
    """Raise TrainingFailed when no output was positive for the last 20 rows of `history`."""
    if len(history.rows) >= DEAD_ROWS and history.recent("prediction/positive_fraction", DEAD_ROWS) == 0:
        raise TrainingFailed(
            f"{name}: the last ReLU is dead since {DEAD_ROWS * history.every} steps, the prediction is 0"
            f" everywhere and cannot recover; {_REMEDY}"
        )


def check_learned(name: str, history: History) -> None:
    """Raise TrainingFailed unless the loss on labelled images over the last tenth lies between 0 and `CONSTANT`.

    It is exactly 0 when no labelled image was usable.
    """
    loss = history.recent("affine_invariant", max(1, len(history.rows) // 10))
    if not loss < CONSTANT:
        raise TrainingFailed(
            f"{name}: no better than a constant prediction: the affine-invariant loss ends at {loss:.3f}, a constant"
            f" has 1, less than {CONSTANT} is needed; {_REMEDY}"
        )
    if loss == 0:
        raise TrainingFailed(
            f"{name}: no labelled image had a usable target; look at the manifests in data/labeled"
        )
