"""How tests run a stage in their own process, in a folder that DVC takes for the project."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import yaml

from tasks.runner import run_stage
from tasks.settings import presets
from tasks.tracking import mlflow_runs

REPOSITORY = Path(__file__).resolve().parents[2]


def start(address):
    """Run the stage `address` (as `collect_labeled@rooms`) of the real graph in the current folder."""
    make_project(Path.cwd())
    if address == "train_student":
        Path("data", "class_map").mkdir(exist_ok=True)  # git has it, so that it is there without maps
    run_stage(address)


def bare_parameters(**others):
    """The parameters of the demo without a source or a fine-tuning, with `others`."""
    parameters = presets.content(REPOSITORY / "presets" / "demo.yaml")
    parameters["sources"] = {"labeled": {}, "unlabeled": {}, "evaluation": {}, "metric": {}, "semantic": {}}
    parameters |= {"finetune_metric": {}, "evaluate_metric": {}, "finetune_semantic": {}, "evaluate_semantic": {}}
    return parameters | others


@cache
def empty_store():
    """The database of MLflow with its tables and nothing else, as bytes; to make it takes seconds."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", "")
        patched.setenv("DVC_ROOT", folder)
        mlflow_runs.connect()
        return Path(folder, "mlflow.db").read_bytes()


def make_project(folder):
    """Make `folder`, which holds a params.yaml, a project of DVC with the graph and the code of the repository."""
    if (folder / ".dvc").exists():
        return
    (folder / "mlflow.db").write_bytes(empty_store())
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(REPOSITORY / name, folder)
    for name in ("depth_model", "tasks"):
        if not (folder / name).exists():
            (folder / name).symlink_to(REPOSITORY / name)


@contextmanager
def changeable(path):
    """Give what changes the parameters in `path` by a function of their content; afterwards they are as before."""
    before = path.read_text()

    def apply(changed):
        content = yaml.safe_load(before)
        changed(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    yield apply
    path.write_text(before)


def runs(stage):
    """Return the runs of `stage` in MLflow, the newest first."""
    client = mlflow_runs.connect()
    return client.search_runs([mlflow_runs.experiment_id(client)], f"tags.stage = '{stage}'")
