"""Meters from a model by a scale and a shift that a few measured images tell, kept beside its weights.

The fit minimizes the mean absolute error of the logarithm of the depth, which wrong measurements move little, whether
far too large or far too small; every image counts the same, however many of its pixels are measured. What it is worth
is told by images that it has not seen (`cross_validated`). No lens distortion, no other camera than by its focal
length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from depth_model import files
from depth_model.errors import BadInput

FILE = "calibration.json"
ROUNDS = 100
LEAST_LEVEL = 0.01
"""What the result is at least while it is sought, as a share of the median: its logarithm has to be."""
LEAST_ERROR = 1e-4
"""Relative errors below it weigh the same in the fit."""
PIXELS = 2000
"""Measured pixels of an image that the fit uses at most, evenly chosen."""
BEYOND = 4.0
"""How many times as far as the farthest measurement a relative model can say that something is."""

Space = Literal["disparity", "depth"]


class Measured(NamedTuple):
    """What a model said, `values` (n,), and the `depth` (n,) in meters that was measured there, in one image."""

    name: str
    values: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """Meters of what a model says: scale * value + shift is 1/meters for "disparity" and meters for "depth".

    `farthest` bounds the result, in meters; `short_side` is what the network saw. `focal` is the focal length of the
    camera in shorter sides of its image, None when it was not told. Errors are the mean AbsRel of `images` held out in
    turn, `before` that of the model without calibration (of a relative one: of one depth for all); on `better` of the
    images it helped.
    """

    space: Space
    scale: float
    shift: float
    farthest: float
    short_side: int
    focal: float | None
    images: int
    abs_rel: float
    before: float
    better: int

    def meters(self, values: np.ndarray, focal: float | None = None) -> np.ndarray:
        """Return depth float32 in meters of what the model says, times `focal` (in shorter sides) over that of the
        calibration: a lens twice as long shows a thing twice as far away as large.

        Raises BadInput for a focal length when the calibration has none.
        """
        factor = 1.0
        if focal is not None:
            if self.focal is None:
                raise BadInput("the calibration was made without --focal, so no other camera can be told from its own")
            factor = focal / self.focal
        depth = meters_of(values, self.space, self.scale, self.shift, self.farthest)
        return (depth * factor).astype(np.float32)

    def write(self, folder: Path) -> None:
        """Write calibration.json to the folder of the model."""
        files.write_json(folder / FILE, asdict(self))


def read_calibration(path: Path) -> Calibration | None:
    """Return the calibration in the folder `path` of a model, None for none; raises BadInput for a damaged one."""
    place = path / FILE
    if not place.is_file():
        return None
    try:
        return Calibration(**files.read_json(place))
    except (TypeError, ValueError) as error:
        raise BadInput(f"{place} is no calibration ({error})") from error


def meters_of(values: np.ndarray, space: Space, scale: float, shift: float, farthest: float) -> np.ndarray:
    """Return depth float64 in (0, farthest] of `values`, of any shape."""
    aligned = values.astype(np.float64) * scale + shift
    if space == "disparity":
        return 1 / np.maximum(aligned, 1 / farthest)
    return np.clip(aligned, 1e-3, farthest)


def fit(images: Sequence[Measured], space: Space, shifted: bool) -> tuple[float, float]:
    """Return the (scale, shift) of the least mean absolute error of the logarithm; the shift is 0 unless `shifted`.

    Least squares of what is relative to the last result, weighted anew each time by one over the error. Raises BadInput
    when the scale is not positive: what is measured far would be near.
    """
    values, depth = (np.concatenate([_some(one[place]) for one in images]) for place in (1, 2))
    share = np.concatenate([np.full(len(_some(one.depth)), 1 / len(_some(one.depth))) for one in images])
    true = 1 / depth if space == "disparity" else depth
    columns = np.stack([values, np.ones_like(values)], axis=1)[:, : 2 if shifted else 1].astype(np.float64)
    found = np.array([np.median(true) / max(np.median(values), np.finfo(np.float32).tiny), 0.0])[: columns.shape[1]]
    for _ in range(ROUNDS):
        level = np.maximum(columns @ found, LEAST_LEVEL * np.median(true))
        error = np.abs(columns @ found - true) / level
        root = np.sqrt(share / np.maximum(error, LEAST_ERROR)) / level
        last, found = found, np.linalg.lstsq(columns * root[:, None], true * root, rcond=None)[0]
        if np.allclose(found, last, rtol=1e-7, atol=0):
            break
    if not found[0] > 0:
        raise BadInput("what the model says is near is measured far: depth and pictures do not belong together")
    return float(found[0]), float(found[1]) if shifted else 0.0


def _some(values: np.ndarray) -> np.ndarray:
    """Return at most PIXELS of `values`, evenly chosen."""
    return values[np.linspace(0, len(values) - 1, min(len(values), PIXELS)).astype(int)]


def cross_validated(images: Sequence[Measured], space: Space, shifted: bool) -> np.ndarray:
    """Return the AbsRel (n,) of every image by a fit of the others; raises what `fit` raises."""
    errors = []
    for place, one in enumerate(images):
        others = [*images[:place], *images[place + 1 :]]
        farthest = farthest_of(others)
        errors.append(_abs_rel(meters_of(one.values, space, *fit(others, space, shifted), farthest), one.depth))
    return np.array(errors)


def uncalibrated(images: Sequence[Measured], space: Space) -> np.ndarray:
    """Return the AbsRel (n,) of every image without calibration: of the meters that a metric model says itself, and for
    a relative one of the median depth of the other images, at every pixel."""
    if space == "depth":
        return np.array([_abs_rel(one.values, one.depth) for one in images])
    rest = ([*images[:place], *images[place + 1 :]] for place in range(len(images)))
    constants = (np.median(np.concatenate([_some(one.depth) for one in others])) for others in rest)
    return np.array([_abs_rel(constant, one.depth) for constant, one in zip(constants, images)])


def farthest_of(images: Sequence[Measured]) -> float:
    """Return how far, in meters, a model calibrated with `images` can say that something is."""
    return BEYOND * max(float(one.depth.max()) for one in images)


def _abs_rel(found: np.ndarray | float, depth: np.ndarray) -> float:
    return float(np.mean(np.abs(found - depth) / depth))


def calibrated(
    images: Sequence[Measured], space: Space, short_side: int, focal: float | None
) -> tuple[Calibration, np.ndarray]:
    """Return the better of a scale, and a scale and a shift, by the images held out, and its AbsRel (n,) of these.

    `focal` is as in `Calibration`. Raises BadInput with fewer than two images, and what `fit` raises.
    """
    if len(images) < 2:
        raise BadInput(f"pictures with measurements: {len(images)}; at least 2 are needed, so that one can be held out")
    forms = {shifted: cross_validated(images, space, shifted) for shifted in (False, True)}
    shifted = bool(forms[True].mean() < forms[False].mean())
    errors, before = forms[shifted], uncalibrated(images, space)
    found = Calibration(
        space,
        *fit(images, space, shifted),
        farthest_of(images),
        short_side,
        focal,
        len(images),
        float(errors.mean()),
        float(before.mean()),
        int((errors < before).sum()),
    )
    return found, errors
