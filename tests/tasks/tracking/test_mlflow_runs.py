"""The store of MLflow after a stage: what a reader of the comparison page gets to see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import OperationalError

from depth_model.errors import CanPass
from tasks.tracking import mlflow_runs
from tasks.workspace.entry import Entry
from tasks.workspace.work import Workplace

ENVIRONMENT = ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI", mlflow_runs.FLOW_RUN_URL)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A project folder whose database exists already (creating one takes seconds)."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, store):
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "")  # not delenv: MLflow sets one of them, which must end with the test
    monkeypatch.setenv("DVC_ROOT", str(store))


@pytest.fixture
def workplace(tmp_path) -> Workplace:
    workplace = Workplace(Entry("train_teacher"), "f" * 64, tmp_path / "work")
    workplace.scratch.mkdir(parents=True)
    return workplace


def of(workplace, parameters):
    return replace(workplace, entry=Entry("train_teacher", parameters))


def stored(run_id):
    return mlflow_runs.connect().get_run(run_id)


def points(run_id, key):
    return [(point.step, point.value) for point in mlflow_runs.connect().get_metric_history(run_id, key)]


def test_a_run_carries_name_tags_parameters_and_metrics(workplace, store, monkeypatch, tmp_path):
    monkeypatch.setenv(mlflow_runs.FLOW_RUN_URL, "http://localhost:4200/runs/flow-run/1")
    (tmp_path / "history.csv").write_text("step\n")
    with mlflow_runs.stage_run(of(workplace, {"teacher": {"batch": 8, "sizes": [1, 2]}, "seed": 7})) as run:
        run.log_metrics({"loss": 0.5}, step=1)
        run.metric_callback(2, {"loss": 0.25})
        run.log_metrics({"images": 240})
        run.artifact(tmp_path / "history.csv", "history")
        run.tag("weights_sha256", "abc")
    found = stored(run.id)
    assert found.info.run_name == "train_teacher-workspace"
    assert found.info.status == "FINISHED"
    assert found.data.params == {"teacher.batch": "8", "teacher.sizes": "[1, 2]", "seed": "7"}
    assert found.data.metrics == {"loss": 0.25, "images": 240.0}
    assert found.data.tags["pipeline"] == "workspace"
    assert found.data.tags["stage"] == "train_teacher"
    assert found.data.tags["fingerprint"] == "f" * 64
    assert found.data.tags["prefect.flow_run"] == "http://localhost:4200/runs/flow-run/1"
    assert found.data.tags["weights_sha256"] == "abc"
    assert "dvc.experiment" not in found.data.tags
    assert list((store / "mlartifacts").rglob("history/history.csv"))


def test_an_experiment_is_named_and_tagged(workplace, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "mossy-crow")
    with mlflow_runs.stage_run(workplace) as run:
        pass
    found = stored(run.id)
    assert found.info.run_name == "train_teacher-mossy-crow"
    assert found.data.tags["pipeline"] == "experiment"
    assert found.data.tags["dvc.experiment"] == "mossy-crow"


def test_the_git_commit_is_that_of_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "mlflow.source.git.commit" not in mlflow_runs.run_tags("stage", "f")
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert mlflow_runs.run_tags("stage", "f")["mlflow.source.git.commit"] == head


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_stopped_run_goes_on_under_its_id_and_repeats_no_step(workplace, error, status):
    with pytest.raises(error), mlflow_runs.stage_run(of(workplace, {"seed": 7})) as first:
        for step in range(1, 6):
            first.log_metrics({"loss": 1 / step}, step)
        raise error
    assert stored(first.id).info.status == status
    with mlflow_runs.stage_run(of(workplace, {"seed": 7})) as second:
        for step in range(4, 9):  # the checkpoint was at step 3
            second.log_metrics({"loss": 1 / step, "scale": step}, step)
    assert second.id == first.id
    assert stored(first.id).info.status == "FINISHED"
    assert points(first.id, "loss") == [(step, 1 / step) for step in range(1, 9)]
    assert points(first.id, "scale") == [(step, step) for step in range(4, 9)]


SCRIPT = """
import os, signal, sys
from pathlib import Path
from tasks.tracking import mlflow_runs
from tasks.workspace.entry import Entry
from tasks.workspace.work import Workplace
place = Workplace(Entry("train_teacher"), "f" * 64, Path(sys.argv[1]))
with mlflow_runs.stage_run(place) as run:
    for step in range(1, 4):
        run.log_metrics({"loss": float(step)}, step)
    os.kill(os.getpid(), int(sys.argv[2]))
"""


def kill_inside_a_run(workplace, number):
    command = [sys.executable, "-c", SCRIPT, str(workplace.folder), str(int(number))]
    environment = os.environ | {"PYTHONPATH": str(Path(mlflow_runs.__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_points_not_yet_sent_survive_a_kill(workplace):
    mlflow_runs.experiment_id(mlflow_runs.connect())
    killed = kill_inside_a_run(workplace, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run_id = (workplace.scratch / "mlflow_run_id").read_text()
    assert stored(run_id).info.status == "RUNNING"
    assert points(run_id, "loss") == []
    with mlflow_runs.stage_run(workplace) as run:
        run.log_metrics({"loss": 3.0}, 3)
        run.log_metrics({"loss": 4.0}, 4)
    assert run.id == run_id
    assert points(run_id, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]


@pytest.mark.slow
def test_termination_closes_the_run_as_killed(workplace):
    killed = kill_inside_a_run(workplace, signal.SIGTERM)
    assert killed.returncode == 128 + signal.SIGTERM, killed.stderr
    run_id = (workplace.scratch / "mlflow_run_id").read_text()
    assert stored(run_id).info.status == "KILLED"
    assert points(run_id, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_points_sent_but_not_forgotten_are_not_sent_twice(workplace):
    with pytest.raises(KeyboardInterrupt), mlflow_runs.stage_run(workplace) as run:
        run.log_metrics({"loss": 1.0}, 1)
        kept = (workplace.folder / mlflow_runs.POINTS).read_text()
        raise KeyboardInterrupt
    (workplace.folder / mlflow_runs.POINTS).write_text(kept + '{"key": "loss", "val')
    with mlflow_runs.stage_run(workplace):
        pass
    assert points(run.id, "loss") == [(1, 1.0)]


def test_many_points_are_sent_while_the_run_goes_on(workplace):
    with mlflow_runs.stage_run(workplace) as run:
        for step in range(mlflow_runs.FLUSH_POINTS + 20):
            run.log_metrics({"loss": float(step)}, step)
        assert len(points(run.id, "loss")) == mlflow_runs.FLUSH_POINTS
        assert len((workplace.folder / mlflow_runs.POINTS).read_text().splitlines()) == 20
    assert len(points(run.id, "loss")) == mlflow_runs.FLUSH_POINTS + 20


def test_with_another_store_than_before_the_kill_a_new_run_begins(workplace, store):
    (workplace.scratch / "mlflow_run_id").write_text("0" * 32)
    with mlflow_runs.stage_run(workplace) as run:
        run.log_metrics({"loss": 1.0}, 1)
    assert run.id == (workplace.scratch / "mlflow_run_id").read_text() != "0" * 32


def test_a_catalog_becomes_data_sets_of_the_run(workplace, tmp_path):
    catalog = tmp_path / "labeled.json"
    catalog.write_text(json.dumps({"rooms": {"manifest_sha256": "ab" * 32, "samples": 240}}))
    with mlflow_runs.stage_run(workplace) as run:
        mlflow_runs.log_data_sets(mlflow_runs.connect(), run.id, catalog)
        mlflow_runs.log_data_sets(mlflow_runs.connect(), run.id, catalog)
    (logged,) = stored(run.id).inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("labeled/rooms", "ab" * 18)
    assert json.loads(logged.dataset.profile)["samples"] == 240


def test_long_values_stay_apart_and_more_parameters_than_a_batch_are_logged(workplace):
    long = {f"key_{i}": i for i in range(150)} | {"paths": ["x" * 7000, "a"], "others": ["x" * 7000, "b"]}
    with mlflow_runs.stage_run(of(workplace, long)) as run:
        pass
    logged = stored(run.id).data.params
    assert len(logged) == 152
    assert logged["key_149"] == "149"
    assert len(logged["paths"]) == mlflow_runs.VALUE_LENGTH
    assert logged["paths"] != logged["others"]


def test_flatten_keeps_empty_sections_and_types():
    assert mlflow_runs.flatten({"a": {}, "b": {"c": None, "d": True, "e": "text"}, "f": 2.0e-5}) == {
        "a": "{}",
        "b.c": "null",
        "b.d": "true",
        "b.e": "text",
        "f": "2e-05",
    }


def test_a_server_named_by_the_environment_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert mlflow_runs.tracking_uri() == "http://tracking:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.delenv("DVC_ROOT")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert mlflow_runs.tracking_uri() == f"sqlite:///{tmp_path / 'mlflow.db'}"


FIRST_USE = "from tasks.tracking import mlflow_runs; print(mlflow_runs.experiment_id(mlflow_runs.connect()))"


@pytest.mark.slow
def test_two_stages_that_start_at_once_make_one_database(tmp_path):
    environment = os.environ | {"DVC_ROOT": str(tmp_path), "PYTHONPATH": str(Path(mlflow_runs.__file__).parents[2])}
    command = [sys.executable, "-c", FIRST_USE]
    starts = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    results = [(*start.communicate(timeout=120), start.returncode) for start in starts]
    assert [code for _, _, code in results] == [0, 0], results
    assert results[0][0] == results[1][0]


FULL = OperationalError("INSERT", {}, Exception("database or disk is full"))
FULL.add_detail("raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block")
FULL_TO_MLFLOW = MlflowException(FULL, error_code=TEMPORARILY_UNAVAILABLE)
FULL_TO_MLFLOW.__cause__ = FULL


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (MlflowException("API request failed\nwith more"), CanPass),  # INTERNAL_ERROR, as of a server that is gone
        (MlflowException("disk full", error_code=TEMPORARILY_UNAVAILABLE), CanPass),
        (FULL, CanPass),
        (FULL_TO_MLFLOW, CanPass),
        (MlflowException("no such run", error_code=RESOURCE_DOES_NOT_EXIST), MlflowException),
    ],
)
def test_a_store_that_fails_is_one_line(error, raised):
    with pytest.raises(raised) as caught, mlflow_runs.answering():
        raise error
    assert "\n" not in str(caught.value)
    assert "autoflush" not in str(caught.value)
