"""Predictions made elsewhere: a folder with one `.npy` or PNG per image, of the whole image and of any size.

They are called `<key>.npy` or `.png`, or by the path of the image below the root, or an end of it that no other image
has, with or without its suffix: `rgb/a.jpg.npy`, what `depth-anything predict` writes, among them. A PNG's 0 is no
prediction, unless its values fill the whole range of 8 or 16 bits: it was scaled to its own range, and 0 is its least.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from depth_model.comparison.adapters import PREDICTIONS, Family, Origin, Settings
from depth_model.errors import BadInput
from depth_model.prediction.estimator import Estimator
from depth_model.reading import formats
from depth_model.shards.sample import check_key

SUFFIXES = ("", ".jpg", ".png", ".jpeg")


def _recognizes(origin: Origin) -> bool:
    return origin.kind == PREDICTIONS


def _load(origin: Origin, settings: Settings) -> Estimator:
    folder, space = Path(origin.name), str(settings.predictions)
    return Estimator(space, lambda image, names: _prediction(folder, names, space, settings.unit), stored=True)


def _prediction(folder: Path, names: tuple[str, ...], space: str, unit: float) -> np.ndarray:
    path = next((path for name in _file_names(names) if (path := folder / name).is_file()), None)
    if path is None:
        known = f", nor one called as {names[1]}" if len(names) > 1 else ""
        raise BadInput(f"no prediction {names[0]}.npy or {names[0]}.png{known}")
    try:
        return (_array if path.suffix == ".npy" else _picture)(path.read_bytes(), space, unit)
    except BadInput as error:
        raise BadInput(f"prediction {path.name}: {error}") from error


def _file_names(names: tuple[str, ...]) -> Iterator[str]:
    key, *paths = names
    check_key(key)
    safe = [path for path in paths if not path.startswith("/") and ".." not in path.split("/")]
    stems = [*(key + suffix for suffix in SUFFIXES), *safe, *(posixpath.splitext(path)[0] for path in safe)]
    yield from (stem + ending for ending in (".npy", ".png") for stem in stems)


def _array(data: bytes, space: str, unit: float) -> np.ndarray:
    values = formats.npy(data)
    return formats.depth(values[0] if values.ndim == 3 and len(values) == 1 else values, unit, invalid=())


def _picture(data: bytes, space: str, unit: float) -> np.ndarray:
    stored = formats.picture(data)
    scaled = stored.dtype.kind == "u" and (stored.min(), stored.max()) == (0, np.iinfo(stored.dtype).max)
    if scaled and space == "metric_depth" and unit == 1:
        raise BadInput("looks like a picture scaled to its own range, which holds no meters (or give their --unit)")
    return formats.depth(stored, unit, invalid=() if scaled else (0.0,))


FAMILY = Family(_recognizes, _load, "a folder of predictions (.npy, 16-bit PNG)")
