"""A project whose registry has a champion."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from depth_model.networks import DepthAnything
from tasks.tracking import champions, mlflow_runs, registry
from tasks.workspace.entry import Entry
from tasks.workspace.work import Workplace
from tests.tasks.starting import bare_parameters


@pytest.fixture(scope="session")
def registered(tmp_path_factory):
    """A project with a registered tiny student that is the champion, evaluated with a short side of 56 pixels."""
    folder = tmp_path_factory.mktemp("registered")
    parameters = bare_parameters(evaluation={"short_side": 56, "minimum_images": 1})
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
    DepthAnything("tiny", weights="none", seed=1).save(folder / "models" / "student")
    workplace = Workplace(Entry("train_student"), "f" * 64, folder / ".work")
    workplace.scratch.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
            patch.setenv(name, "")
        patch.setenv("DVC_ROOT", str(folder))
        patch.chdir(folder)
        with mlflow_runs.stage_run(workplace) as run:
            registry.register_model("student", Path("models/student"), run)
        champions.promote({"mean": {"student": {"abs_rel": 0.2}}}, "a" * 64, {"student": champions.Evidence()})
    return folder
