"""How tests run a stage in their own process, in a folder that DVC takes for the project."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path

import yaml

from tasks.runner import run_stage
from tasks.tracking import mlflow_runs

REPOSITORY = Path(__file__).resolve().parents[2]


def start(address):
    """Run the stage `address` (as `collect_labeled@rooms`) of the real graph in the current folder."""
    make_project(Path.cwd())
    run_stage(address)


def make_project(folder):
    """Make `folder`, which holds a params.yaml, a project of DVC with the graph and the code of the repository."""
    if (folder / ".dvc").exists():
        return
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    shutil.copy(REPOSITORY / "dvc.yaml", folder)
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
