"""Stage `resolve_model@<name>`: a model from elsewhere as a folder of the repository, so that DVC knows its content.

Only copies: what the files are is for those that read them to find out. An encoder that needs no file is named in
`encoder.json` instead.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from depth_model import files
from depth_model.errors import UserError
from tasks.settings import params
from tasks.tracking.registry import registered_folder
from tasks.workspace.paths import ENCODER
from tasks.workspace.work import Workplace

ENCODERS = ("packaged", "hub", "none")
WEIGHTS = "model.safetensors"


def run(workplace: Workplace, settings: params.Params) -> None:
    """Leave the model `models.<name>` in `data/models/<name>`.

    Raises UserError when it is not there, or is another than its `sha256` says.
    """
    model, out = settings.section("models", workplace.key), workplace.out()
    source = model.source
    if source in ENCODERS:
        files.write_json(out / ENCODER, {"weights": source})
        return
    found = registered_folder(source) if source.startswith("models:/") else params.project_path(source)
    if not found.exists():
        raise UserError(f"params.yaml: models.{workplace.key}.source = {source!r}: there is no such file or folder")
    out.mkdir(exist_ok=True)
    for path in sorted(one for one in found.iterdir() if one.is_file()) if found.is_dir() else [found]:
        shutil.copyfile(path, out / path.name)
    if model.sha256:
        _check_weights(
            f"models.{workplace.key}.sha256", model.sha256, out / (WEIGHTS if found.is_dir() else found.name)
        )


def _check_weights(setting: str, wanted: str, copied: Path) -> None:
    digest = files.sha256(copied) if copied.exists() else "missing"
    if digest != wanted:
        raise UserError(f"params.yaml: {setting} = {wanted}: {copied.name} is another file ({digest})")
