"""Stage `resolve_model@<name>`: a model from elsewhere as a folder of the repository, so that DVC knows its content.

Only copies: what the files are is for those that read them to find out. Beside them `origin.json` says where they are
from, their license, and what they do not say themselves. An encoder that needs no file is named in `encoder.json`
instead.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model import files
from depth_model.errors import UserError, named
from tasks.settings import params
from tasks.tracking.named_models import NamedModel, find_model
from tasks.workspace.paths import ENCODER
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.networks.provenance import Provenance

ENCODERS = ("packaged", "hub", "none")
WEIGHTS = "model.safetensors"
_COMMIT = re.compile("[0-9a-f]{40}")
_SECONDS = 10.0


def run(workplace: Workplace, settings: params.Params) -> None:
    """Leave the model `models.<name>` in `data/models/<name>`.

    Raises UserError when it is not there, or is another than its `sha256` says.
    """
    from depth_model.networks.provenance import write_provenance

    wanted, out = settings.section("models", workplace.key), workplace.out()
    if wanted.source in ENCODERS:
        files.write_json(out / ENCODER, {"weights": wanted.source})
        return
    with named(f"params.yaml: models.{workplace.key}.source"):
        found = find_model(wanted.source, params.project_path(""))
    out.mkdir(exist_ok=True)
    for path in _wanted_files(found.path, wanted.predictions is not None):
        target = out / (path.relative_to(found.path) if found.path.is_dir() else path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    if wanted.sha256:
        weights = out / (WEIGHTS if found.path.is_dir() else found.path.name)
        _check_weights(f"models.{workplace.key}.sha256", wanted.sha256, weights)
    write_provenance(out, provenance_of(found, wanted))


def _check_weights(setting: str, wanted: str, copied: Path) -> None:
    digest = files.sha256(copied) if copied.exists() else "missing"
    if digest != wanted:
        raise UserError(f"params.yaml: {setting} = {wanted}: {copied.name} is another file ({digest})")


def _wanted_files(found: Path, predictions: bool) -> list[Path]:
    """Return the files of a model, which lie side by side, or of predictions, at any depth; none that are hidden."""
    if not found.is_dir():
        return [found]
    inside = sorted(found.rglob("*") if predictions else found.iterdir())
    return [one for one in inside if one.is_file() and not one.relative_to(found).as_posix().startswith(".")]


def provenance_of(found: NamedModel, wanted: params.Model) -> Provenance:
    """Return what is known of the model: by params.yaml, by the hub, by the name of a release, or by what stands beside
    it, as beside a model that the pipeline trained from another."""
    from depth_model.networks.provenance import read_provenance
    from depth_model.networks.releases import license_of

    beside = read_provenance(found.path if found.path.is_dir() else found.path.parent)
    origin = found.origin  # of which no path of this machine is kept
    source = Path(origin).name if Path(origin).is_absolute() else origin
    license = wanted.license or hub_license(origin) or license_of(source) or beside.license
    told = {name: value for name, value in asdict(wanted).items() if name != "sha256" and value is not None}
    return replace(beside, **told | {"source": source, "license": license})


def hub_license(origin: str) -> str | None:
    """Return the license that the hub states of the model `ORG/NAME@COMMIT`, None where it states none."""
    model, at, commit = origin.partition("@")
    if not at or not _COMMIT.fullmatch(commit):
        return None
    from huggingface_hub import HfApi

    try:
        card = HfApi().model_info(model, revision=commit, timeout=_SECONDS).card_data
    except Exception:  # The hub client raises a dozen unrelated types; the model itself may be from its cache.
        return None
    return card.license if card else None
