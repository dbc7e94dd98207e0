"""Other parameters for one flow run: params.yaml by a preset and overrides, the results kept as a DVC experiment.

params.yaml is put back when the run ends, also after a kill: by the next flow run here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from depth_model import files
from depth_model.errors import UserError
from tasks.settings import presets

PARAMS, KEPT = Path("params.yaml"), Path(".dvc/tmp/params.yaml.kept")
NAME = "DVC_EXP_NAME"
"""Where DVC tells stages which experiment they belong to; such a run never moves the champion."""


@contextmanager
def parameters(preset: str | None, overrides: Sequence[str], name: str | None) -> Iterator[Callable[[str], None]]:
    """Have params.yaml say what `preset` (a file of presets/) and then `overrides` (KEY=VALUE as after `dvc exp run
    -S`) say, while the block lasts; yield what keeps the results as the DVC experiment `name`, given a
    stage that is up to date.

    Without any of the three nothing is changed or kept. Raises UserError for an override that DVC does not take.
    """
    put_back()
    if not (preset or overrides or name):
        yield lambda stage: None
        return
    if not name:
        raise UserError("experiment: name the results of other parameters, or leave preset and overrides out")
    os.environ[NAME] = name
    files.write_bytes(KEPT, PARAMS.read_bytes())
    try:
        _change(preset, overrides)
        yield lambda stage: _keep(name, stage)
    finally:
        del os.environ[NAME]
        put_back()


def put_back() -> None:
    """Put params.yaml back as it was before a run with other parameters, if one did not."""
    if KEPT.exists():
        files.write_bytes(PARAMS, KEPT.read_bytes())
        KEPT.unlink()


def _change(preset: str | None, overrides: Sequence[str]) -> None:
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides

    if preset:
        path = presets.path_of(preset)
        presets.load(path)
        files.write_text(PARAMS, presets.written(path))
    if overrides:
        try:
            apply_overrides(PARAMS, list(overrides))
        except DvcException as error:
            raise UserError(f"overrides = {list(overrides)}: {error}: {error.__cause__}") from error


def _keep(name: str, stage: str) -> None:
    from dvc.repo import Repo

    with Repo(os.curdir, _wait_for_lock=True) as repository:
        # DVC commits the targets first, without any every stage, also one that did not run with these parameters. What
        # the others made dvc.lock says already.
        repository.experiments.save(targets=[stage], name=name, force=True, include_untracked=["dvc.lock"])
