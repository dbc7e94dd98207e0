"""Any depth model as an `Estimator`: one small file per family, chosen by what a folder or a file holds.

Adding a family is adding a file here with a `FAMILY`; nothing is registered anywhere else.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.networks.variants import Version
from depth_model.prediction.estimator import Estimator

PREDICTIONS = "predictions"
CONFIGS = ("config.json", "model_index.json")
"""What tells a folder with a model: of transformers and ours, of diffusers."""


@dataclass(frozen=True)
class Settings:
    """How a model is run, as far as its family leaves that open.

    `short_side` in pixels and `network_size` (height, width), which squashes the image, are for networks of this
    project; those of transformers keep the size of their processor. `maximum`: the range in meters of a metric model
    whose file does not say it, `version`: that of a Depth Anything whose file does not. `predictions`: the space of
    predictions made elsewhere (see `Estimator`), which are divided by `unit`.
    """

    short_side: int = 518
    network_size: tuple[int, int] | None = None
    maximum: float | None = None
    version: Version | None = None
    predictions: str | None = None
    unit: float = 1.0


@dataclass(frozen=True)
class Origin:
    """What is known of a model before it is loaded: its path and its configuration (one of CONFIGS), {} for none."""

    name: str
    config: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The `model_type` of transformers, or the class of a pipeline of diffusers; without one "file" or "folder"."""
        stated = str(self.config.get("model_type") or self.config.get("_class_name", ""))
        return stated or ("folder" if Path(self.name).is_dir() else "file")

    @property
    def is_metric(self) -> bool:
        """Whether the configuration says that a Depth Anything predicts meters."""
        return self.config.get("depth_estimation_type") == "metric"


@dataclass(frozen=True)
class Family:
    """A family of models: `recognizes(origin)`, and `load(origin, settings)`, which returns an estimator."""

    recognizes: Callable[[Origin], bool]
    load: Callable[[Origin, Settings], Estimator]
    description: str


def families() -> dict[str, Family]:
    """Return name -> family of every file of this package, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return {name: import_module(f"{__name__}.{name}").FAMILY for name in names}


def load(name: str, settings: Settings) -> Estimator:
    """Load a model by folder or file, or a folder of predictions.

    Raises ValueError that names what there is for a model of no known family and for a name that leads nowhere.
    """
    origin = _origin(name, settings)
    for family in families().values():
        if family.recognizes(origin):
            return family.load(origin, settings)
    known = "; ".join(family.description for family in families().values())
    raise ValueError(f"{name}: a model of type {origin.kind!r} is of no known family; known are: {known}")


def _origin(name: str, settings: Settings) -> Origin:
    path = Path(name)
    if not path.exists():
        raise ValueError(f"{name}: there is no such file or folder")
    config_file = next((path / name for name in CONFIGS if (path / name).is_file()), None)
    if config_file is not None:
        try:
            return Origin(name, files.read_json(config_file))
        except ValueError as error:
            raise ValueError(f"{config_file}: not valid JSON: {error}") from error
    if path.is_dir() and settings.predictions is not None:
        return Origin(name, {"model_type": PREDICTIONS})
    if path.is_dir():
        raise ValueError(f"{name}: no model (there is no config.json); of predictions made elsewhere say their space")
    return Origin(name, {})
