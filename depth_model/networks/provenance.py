"""A model from elsewhere in a folder of `data/models`: where its weights are, and what they do not say themselves.

That stands in `origin.json` beside them: where the model is from, its license, and for a bare file or a folder of
predictions how it is to be read. Nothing here downloads.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.errors import UserError, named
from depth_model.networks.depth_anything import DepthAnything
from depth_model.networks.variants import VARIANTS, OutIndices, Version
from depth_model.settings import Space

ORIGIN = "origin.json"
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a model is from (`source`), its `license`, and what its files may leave open.

    `version` of a Depth Anything, `maximum` in meters of a metric one, and for predictions made elsewhere their space
    and the `unit` that they are divided by.
    """

    source: str = ""
    license: str = UNKNOWN
    version: Version | None = None
    maximum: float | None = None
    predictions: Space | None = None
    unit: float = 1.0

    @property
    def warning(self) -> str:
        """What one must know before learning from the model; empty for a license that allows every use."""
        if self.license == UNKNOWN:
            return f"the license of {self.source or 'this model'} is not known: look it up before you use what learned"
        if "nc" in self.license.lower().split("-"):
            return f"{self.source} is {self.license}: what learns from it is not for commercial use"
        return ""


def read_provenance(folder: Path | str) -> Provenance:
    """Return what `origin.json` in `folder` says, nothing without one."""
    path = Path(folder, ORIGIN)
    return Provenance(**files.read_json(path)) if path.is_file() else Provenance()


def write_provenance(folder: Path, provenance: Provenance) -> None:
    """Leave `origin.json` in `folder`."""
    files.write_json(folder / ORIGIN, asdict(provenance))


def weights_path(folder: Path | str) -> Path:
    """Return what is to be loaded from `folder`: itself, or the only file in it. Raises UserError for an empty one."""
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: there is no such folder")
    inside = sorted(one for one in Path(folder).iterdir() if not one.name.startswith(".") and one.name != ORIGIN)
    if not inside:
        raise UserError(f"{folder}: is empty")
    whole = len(inside) > 1 or inside[0].is_dir() or read_provenance(folder).predictions
    return Path(folder) if whole else inside[0]


def content_sha256(folder: Path) -> str:
    """Return the SHA-256 over names and content of all files below `folder`."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return files.sha256_of_json({path.relative_to(folder).as_posix(): files.sha256(path) for path in found})


def start_model(role: str, folder: str, size: str, out_indices: OutIndices) -> DepthAnything:
    """Return the whole model in `folder` that the training of `role` starts from.

    Raises UserError for a folder without a relative Depth Anything, and for one of another size than `<role>.encoder`
    or with a decoder that reads other blocks than `training.out_indices` says.
    """
    where = f"{role}.initial = {folder!r}"
    with named(where, ValueError):
        model = DepthAnything.load(weights_path(folder), read_provenance(folder).version)
    found = model.encoder.size
    if found != size:
        raise UserError(f"{role}.encoder = {size!r}: the model that {where} names is a {found!r}; change one of both")
    if tuple(model.blocks) != (wanted := VARIANTS[size].out_indices(out_indices)):
        told: dict[str, Any] = {"its decoder reads the blocks": model.blocks, "not": list(wanted)}
        said = ", ".join(f"{what} {blocks}" for what, blocks in told.items())
        raise UserError(f"training.out_indices = {out_indices!r}: does not fit {where}: {said}")
    return model
