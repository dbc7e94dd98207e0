"""The deployments `finetune` and `ablations` on the tiny world, by the documented commands, a server and a worker."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import contextmanager

import pytest

from tests.flows import test_end_to_end as prefect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@contextmanager
def served(home):
    server = prefect.Server(home)
    try:
        yield server
    finally:
        prefect.stop(server.process)


@pytest.fixture
def server(ran_project, tmp_path):
    """A server and the worker of the tiny project, after its first run, all of it committed."""
    ran_project.run("git", "add", "-A")
    ran_project.run("git", "commit", "-qm", "Run")
    with served(tmp_path) as server:
        server.environment |= {name: ran_project.environment[name] for name in ("PATH", "OMP_NUM_THREADS")}
        server.environment |= {name: one for name, one in ran_project.environment.items() if name.startswith("GIT_")}
        shutil.copy2(server.secret_file, ran_project.folder / ".env")
        worker = server.start([sys.executable, "-m", "flows.worker"], ran_project.folder)
        try:
            prefect.wait_for(lambda: any(one["status"] == "ONLINE" for one in prefect.workers(server)))
            yield server
        finally:
            prefect.stop(worker)


def deployed(server, project, name, **parameters):
    """Run a deployment to its end; return its flow run."""
    done = prefect.run_deployment(server, project.folder, "--watch", "--params", json.dumps(parameters), name=name)
    run = prefect.latest_flow_run(server)
    assert (done.returncode, run["state_type"]) == (0, "COMPLETED"), done.stdout + str(run["state"]["message"])
    return run


def test_fine_tuning_and_a_table_of_ablations(server, ran_project):
    project = ran_project
    before = project.weights("student"), project.weights("metric/nyu")
    options = {"sets": ["nyu"], "overrides": ["finetune_metric.nyu.epochs=1"], "experiment": "short"}
    run = deployed(server, project, "finetune", **options)
    states = prefect.stage_states(server, run)
    assert {stage for stage, state in states.items() if state == "Ran"} == {
        "inventory",
        "audit",  # for the sets that are evaluated it reads whole sections of params.yaml
        "finetune_metric@nyu",
        "evaluate_metric@nyu",
    }
    assert "train_student" not in states and project.weights("student") == before[0]
    assert project.weights("metric/nyu") != before[1]
    assert project.run("dvc", "exp", "list", "--name-only").split() == ["short"]
    project.run("git", "checkout", "-q", "--", ".")  # dvc.lock: the experiment has its own
    project.run("dvc", "checkout", "-q")
    assert project.weights("metric/nyu") == before[1]

    (project.folder / "results" / "ablations.jsonl").write_text("")  # the project comes with results of its own
    project.run("git", "commit", "-qam", "Measure ablations")
    run = deployed(server, project, "ablations", table="table-6", seeds=[3])
    kept = (project.folder / "results" / "ablations.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in kept] == ["streets", "all"]
    artifacts = server.read("artifacts", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    (shown,) = [one["data"] for one in artifacts if one["key"] == "ablations"]
    assert shown.count("| 1 | ") == 2
