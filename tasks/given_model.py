"""Stages `given_model@<teacher or student>`: the models from elsewhere that a training takes, by their content.

Watches all of `data/models` and writes one small file, which changes only when a model that is taken does: another
model beside it retrains nothing. Models that cannot be what they are taken for are refused here, before anything is
trained. What labels instead of a trained teacher is looked at on a labeled image, if there is one.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_model import files
from depth_model.errors import UserError, named
from tasks.settings import params
from tasks.workspace.paths import catalog_path, given_path
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from depth_model.prediction.estimator import Estimator
    from depth_model.shards.source import SourceFolder

IN_PLACE = True


def run(workplace: Workplace, settings: params.Params) -> None:
    """Write `data/given/<role>.json`; raises UserError for a model that cannot be taken."""
    role, given = workplace.key, {}
    if settings.starts_whole(role):
        given["initial"] = _start(role, settings)
    if role == "teacher" and settings.teacher.model:
        given["model"] = _teacher(settings)
    for what, one in given.items():
        if one["warning"]:
            print(f"warning: {role}.{what} = {one['folder']}: {one['warning']}", file=sys.stderr)
    files.write_json(given_path(role), given)


def _start(role: str, settings: params.Params) -> dict[str, Any]:
    from depth_model.networks.provenance import start_model

    wanted = getattr(settings, role)
    start_model(role, wanted.initial, wanted.encoder, settings.training.out_indices)
    return _known(Path(wanted.initial))


def _known(folder: Path) -> dict[str, Any]:
    from depth_model.networks.provenance import content_sha256, read_provenance

    found = read_provenance(folder)
    return {
        "folder": folder.as_posix(),
        "sha256": content_sha256(folder),
        "origin": asdict(found),
        "warning": found.warning,
    }


def _teacher(settings: params.Params) -> dict[str, Any]:
    """Return what is known of `teacher.model`, with the space of its maps, and whether it is a relative Depth Anything
    itself, which models/teacher then holds."""
    from depth_model.pseudo_label.teachers import estimator_of, is_relative
    from depth_model.shards.source import SourceFolder

    folder = Path(settings.teacher.model)
    with named(f"teacher.model = {settings.teacher.model!r}"):
        estimator = estimator_of(folder, settings.pseudo_label.short_side)
        if not estimator.stored:
            labeled = files.read_json(catalog_path("labeled"))
            look(estimator, (SourceFolder(Path("data/labeled", name)) for name in labeled))
    return _known(folder) | {"space": estimator.space, "relative": is_relative(folder)}


def look(estimator: Estimator, sources: Iterable[SourceFolder]) -> None:
    """Raise UserError unless the estimator tells something of the first image of `sources`, if there is one."""
    from depth_model.metrics.alignment import is_constant
    from depth_model.pseudo_label.teachers import disparity_of

    source = next((one for one in sources if len(one)), None)
    if source is None:
        return
    found = disparity_of(estimator.predict(source.image(0), (source.key(0),)), estimator.space)
    known = found[~np.isnan(found)]
    if not known.size or is_constant(known):
        raise UserError(f"says nothing of image {source.folder.name}/{source.key(0)}: its map is one constant")
