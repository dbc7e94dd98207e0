"""Models that tests leave as a training does, with figures that decide on the champion, and the command."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess

import pytest

from tasks.tracking import champions, mlflow_runs, registry
from tasks.workspace.entry import Entry
from tasks.workspace.work import Workplace
from tests.tasks.commands.calling import call

STUDENT = "depth-anything-student"
SETS = "a" * 64


def trained(project, weights: bytes, model="student") -> tuple[str, str]:
    """Leave a model folder and its training run, as the training stage does; return version and run id."""
    folder = project / "models" / model
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    entry = Entry(f"train_{model}", {"alpha": 0.85})
    workplace = Workplace(entry, weights.hex().ljust(64, "0"), project / ".work" / weights.hex())
    workplace.scratch.mkdir(parents=True, exist_ok=True)
    with mlflow_runs.stage_run(workplace) as run:
        version = registry.register_model(model, folder, run)
        assert mlflow_runs.connect().get_run(run.id).info.status == "RUNNING"
    shutil.rmtree(workplace.folder)
    return version, run.id


def figures(abs_rel, model="student"):
    return {
        "columns": {model: {"abs_rel": abs_rel - 0.01, "delta1": 0.9}},
        "mean": {model: {"abs_rel": abs_rel, "delta1": 0.8}},
    }


def evidence(abs_rel, model="student", refusal=""):
    """The scores of 30 images around a mean: what another model differs by is the same on each."""
    return {model: champions.Evidence(refusal, {f"columns/{n}": abs_rel + 0.001 * n for n in range(30)})}


def promote(abs_rel, sets=SETS, **known):
    return champions.promote(figures(abs_rel), sets, evidence(abs_rel, **known))


def champion():
    aliases = mlflow_runs.connect().get_registered_model(STUDENT).aliases
    return str(aliases["champion"]) if "champion" in aliases else None


def command(project, *words):
    """What `depth-anything` prints in the folder of the project, and its exit code."""
    said, complained, code = io.StringIO(), io.StringIO(), 0
    with contextlib.chdir(project), pytest.MonkeyPatch.context() as patched:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            try:
                call(patched, *words)
            except SystemExit as ended:
                code = ended.code
    return subprocess.CompletedProcess(words, code, said.getvalue(), complained.getvalue())
