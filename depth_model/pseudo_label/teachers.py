"""Whatever labels images as a teacher: a relative Depth Anything, or any model or folder of predictions that evaluation
accepts, brought to disparity.

What is done to a map of another space, and what it loses, is said in docs/own-model.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.comparison import adapters
from depth_model.errors import UserError, named
from depth_model.metric.heads.checkpoints import is_metric
from depth_model.networks import DepthAnything, checkpoints
from depth_model.networks.preprocessing import network_size
from depth_model.networks.provenance import read_provenance, weights_path
from depth_model.prediction.estimator import Estimator
from depth_model.prediction.predictor import resized

NEAREST = 0.01
"""Share of an image's median depth below which a depth is taken for a fault: its inverse would dwarf all others."""
FARTHEST = 5.0
"""How many times as far as the nearest point the farthest is taken to be where a depth has no shift."""


def relative_model(folder: Path) -> DepthAnything | None:
    """Return the relative Depth Anything in `folder`, None for anything else. Raises BadCheckpoint for a damaged one.

    Only such a model is run in batches; it is what a student starts as, too.
    """
    if not is_relative(folder):
        return None
    return DepthAnything.load(weights_path(folder), read_provenance(folder).version)


def is_relative(folder: Path) -> bool:
    """Return whether `folder` says that it holds a relative Depth Anything; its weights are not read."""
    path, known = weights_path(folder), read_provenance(folder)
    if known.predictions:
        return False
    config = checkpoints.config_file(path)
    if not config.is_file():
        return path.is_file() and not is_metric(path, known.maximum)
    with named(str(config), json.JSONDecodeError):
        content = files.read_json(config)
    return content.get("model_type") == "depth_anything" and content.get("depth_estimation_type") != "metric"


def estimator_of(folder: Path, short_side: int) -> Estimator:
    """Return the model or the predictions in `folder` as an estimator; `short_side` is for networks of this project.

    Raises UserError for what is neither.
    """
    known = read_provenance(folder)
    settings = adapters.Settings(
        short_side=short_side,
        maximum=known.maximum,
        version=known.version,
        predictions=known.predictions,
        unit=known.unit,
    )
    try:
        return adapters.load(str(weights_path(folder)), settings)
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(str(error)) from error


@dataclass(frozen=True)
class Foreign:
    """A teacher that is asked image by image: its maps as disparity, no larger than `short_side` makes a network's."""

    estimator: Estimator
    short_side: int
    patch: int

    def disparity(self, image: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """Return float32 (h, w) >= 0 of `image`, NaN = no label (see `disparity_of`)."""
        found = disparity_of(self.estimator.predict(image, names), self.estimator.space)
        size = network_size(*image.shape[:2], self.short_side, self.patch)
        return resized(found, size) if found.size > size[0] * size[1] else found


def disparity_of(values: np.ndarray, space: str) -> np.ndarray:
    """Return `values` (h, w) of `space` (see `Estimator`) as disparity float32 (h, w) >= 0, NaN where there is none.

    Disparity stays what it is, raised as a whole if it goes below 0: its shift says nothing. Meters become 1/m; values
    that are not above 0, or nearer than `NEAREST` of the median, are no labels. Depth of unknown scale and shift has no
    inverse: it is taken to reach from 1 to `FARTHEST`, so that the order of the pixels is right and their distances are
    a guess.
    """
    known = values.astype(np.float64)
    known[~np.isfinite(known)] = np.nan
    if space == "metric_depth":
        known[known <= 0] = np.nan
        if np.isfinite(known).any():
            known[known < NEAREST * np.nanmedian(known)] = np.nan
        return (1 / known).astype(np.float32)
    if not np.isfinite(known).any():
        return known.astype(np.float32)
    low, high = np.nanmin(known), np.nanmax(known)
    if space == "depth":
        known = 1 / (1 + (FARTHEST - 1) * (known - low) / ((high - low) or 1.0))
    else:
        known -= min(low, 0.0)
    return known.astype(np.float32)
