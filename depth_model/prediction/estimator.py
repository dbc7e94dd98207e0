"""A model as labeling and evaluation see it: an image in, a map in a known space out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from depth_model.settings import Space

if TYPE_CHECKING:
    from depth_model.prediction.predictor import DepthPredictor

SPACES = get_args(Space)


@dataclass(frozen=True)
class Estimator:
    """`predict(image uint8 (H, W, 3), names)` returns float (h, w) of any size, in `space` (one of SPACES).

    `names` are what the image is called: its key, then the ends of its path. `stored` predictions were made elsewhere,
    of the whole image: nothing about the network's input applies to them.
    Raises ValueError for an unknown space.
    """

    space: str
    predict: Callable[[np.ndarray, tuple[str, ...]], np.ndarray]
    stored: bool = False

    def __post_init__(self) -> None:
        """Refuse a space that does not exist."""
        if self.space not in SPACES:
            raise ValueError(f"space {self.space!r}: choose one of {', '.join(SPACES)}")


def of_predictor(predictor: DepthPredictor) -> Estimator:
    """Return a relative model of ours as an estimator."""
    return Estimator("disparity", lambda image, names: predictor(image))
