"""Predictions made elsewhere: a folder with one `.npy` or 16-bit PNG per image, named by the key of the image.

`<key>.npy`, `<key>.png`, or what `depth-anything predict` writes, `<key>.jpg.npy`. They are of the whole image, of any
size with its aspect ratio; a PNG's 0 is no prediction.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model.errors import BadInput, named
from depth_model.evaluation.adapters import PREDICTIONS, Family, Origin, Settings
from depth_model.evaluation.estimator import Estimator
from depth_model.reading import formats
from depth_model.shards.sample import check_key

SUFFIXES = (".npy", ".jpg.npy", ".png.npy", ".jpeg.npy", ".png")


def _recognises(origin: Origin) -> bool:
    return origin.kind == PREDICTIONS


def _load(origin: Origin, settings: Settings) -> Estimator:
    folder = Path(origin.name)
    return Estimator(
        str(settings.predictions), lambda image, key: _prediction(folder, key, settings.unit), stored=True
    )


def _prediction(folder: Path, key: str, unit: float) -> np.ndarray:
    path = next((path for suffix in SUFFIXES if (path := folder / (check_key(key) + suffix)).is_file()), None)
    if path is None:
        raise BadInput(f"no prediction {key}.npy or {key}.png")
    with named(f"prediction {path.name}"):
        if path.suffix == ".npy":
            return formats.depth(formats.npy(path.read_bytes()), unit, invalid=())
        return formats.depth(formats.picture(path.read_bytes()), unit)


FAMILY = Family(_recognises, _load, "a folder of predictions (.npy, 16-bit PNG)")
