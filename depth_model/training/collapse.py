"""Recognizing a model that has learned nothing, so that no stage passes one on.

The output of the network ends in a ReLU. When it dies, the prediction is 0 everywhere, no gradient flows, and no
later step can mend it. A constant prediction has an affine-invariant loss of exactly 1, because the normalized
target has a mean absolute value of 1: a model whose loss is not clearly below 1 is no better than a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean

from torch import Tensor

from depth_model.errors import UserError
from depth_model.training.history import History
from depth_model.training.start import Seen
from depth_model.training.terms import Samples, Term

CONSTANT = 0.95
"""Largest mean affine-invariant loss on labeled images at which a model counts as better than a constant."""
CONSTANT_LOSS = "pseudo_label/constant"
"""Term of a training without labels: the loss on pseudo labels that a constant would have."""
FLAT = 1e-5
"""Mean deviation of disparity per image below which the output has collapsed; the loss divides by 1e-6 at least."""

LOOKED_AT = 64
"""Samples, evenly spread, whose labels are looked at before a fine-tuning."""
FEWEST_LABELED = 1e-3
"""Share of pixels with a label that counts below which there is nothing to learn from; sparse LiDAR has 0.04."""
_REMEDY = "set another seed in params.yaml, lower the learning rates or give more steps"


def health_terms(images: Samples) -> list[Term]:
    """Return what is watched of an output's disparity (B, H, W): the fraction of positive pixels and the mean deviation
    per image; `images` counts them."""
    return [
        Term("prediction/positive_fraction", lambda seen: (_fixed(seen) > 0).float().mean(), images),
        Term("prediction/scale", lambda seen: _fixed(seen).flatten(1).std(dim=1).mean(), images),
    ]


def _fixed(seen: Seen) -> Tensor:
    return seen.disparity.detach().float()


def unhealthy(found: Mapping[str, float]) -> str:
    """Return what `health_terms` found wrong with an output; empty when it is alive."""
    if found["prediction/positive_fraction"] == 0:
        return "the last ReLU is dead, the prediction is 0 everywhere and cannot recover"
    if found["prediction/scale"] < FLAT:
        return f"the prediction has collapsed to a constant, its deviation is {found['prediction/scale']:.2g}"
    return ""


def check_learned(name: str, history: History) -> None:
    """Raise UserError unless the loss on labeled images over a tenth of the run, before the step whose weights are
    kept, lies between 0 and `CONSTANT`.

    It is exactly 0 when no labeled image was usable.
    """
    loss = history.recent("affine_invariant", _last(history))
    if not loss < CONSTANT:
        raise UserError(
            f"{name}: no better than a constant prediction: the affine-invariant loss ends at {loss:.3f}, a constant"
            f" has 1, less than {CONSTANT} is needed; {_REMEDY}"
        )
    if loss == 0:
        raise UserError(f"{name}: no labeled image had a usable target; look at the manifests in data/labeled")


def check_labels(name: str, count: int, share: Callable[[int], float], remedy: str) -> None:
    """Raise UserError where hardly a pixel of `count` samples has a label that counts; `share(number)` is the share of
    those pixels in one sample."""
    numbers = range(0, count, max(1, count // LOOKED_AT))
    found = fmean(map(share, numbers)) if numbers else 0.0
    if found < FEWEST_LABELED:
        raise UserError(
            f"{name}: hardly a pixel has a label that counts, {found:.2%} in {len(numbers)} images: nothing to learn "
            f"from; {remedy}"
        )


def check_distilled(name: str, history: History) -> None:
    """Raise UserError unless the loss on pseudo labels over the last tenth is clearly below that of a constant, which
    is less than 1 because the largest residuals are left out."""
    loss, constant = (history.recent(term, _last(history)) for term in ("pseudo_label", CONSTANT_LOSS))
    if not loss < CONSTANT * constant:
        raise UserError(
            f"{name}: no better than a constant prediction: the loss on pseudo labels ends at {loss:.3f}, a constant"
            f" has {constant:.3f}, less than {CONSTANT} of that is needed; {_REMEDY}"
        )


def _last(history: History) -> int:
    return max(1, len(history.rows) // 10)
