"""The documented commands with a real server and a real worker, on the toy project."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from functools import partial

import httpx
import pytest
import yaml
from PIL import Image

from flows import access, notify
from tests import canaries, processes
from tests.flows.conftest import commit
from tests.flows.test_notify import webhook

pytestmark = [pytest.mark.slow, pytest.mark.hostile]
EVENTS = {"filter": {"event": {"prefix": ["prefect.asset"]}}, "limit": 50}
PREFECT = [sys.executable, "-m", "prefect"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


wait_for = partial(processes.wait_for, seconds=400, every=0.3)


class Server:
    """A Prefect server with a database of its own."""

    def __init__(self, home, **variables):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        self.secret_file = home / ".env"
        self.auth = tuple(access.ensure_secret(self.secret_file).split(":"))
        inherited = {name: value for name, value in os.environ.items() if name not in (access.SERVER, access.CLIENT)}
        self.environment = (
            inherited
            | canaries.ENVIRONMENT
            | {
                "PREFECT_HOME": str(home),
                "PREFECT_API_URL": self.url,
                "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                "DO_NOT_TRACK": "true",
                "PREFECT_WORKER_QUERY_SECONDS": "1",
            }
            | variables
        )
        self.log = open(home / "server.log", "w")
        command = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        self.process = self.start(command, home)
        try:
            wait_for(self.healthy, seconds=400)
        except AssertionError:
            stop(self.process)
            raise

    def start(self, command, folder):
        return subprocess.Popen(
            command, cwd=folder, env=self.environment, stdout=self.log, stderr=self.log, start_new_session=True
        )

    def healthy(self):
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def read(self, kind, **filters):
        answer = httpx.post(f"{self.url}/{kind}/filter", json=filters, auth=self.auth, timeout=20)
        return answer.raise_for_status().json()


def stop(process):
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with webhook() as (address, told):
        server = Server(tmp_path_factory.mktemp("prefect"), **{notify.WEBHOOK: address})
        server.told = told
        yield server
        stop(server.process)


@pytest.fixture
def project(toy, repository, server):
    """The toy project with this repository's flow and Prefect files, and a worker started by the documented command."""
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy2(repository / name, toy / name)
    shutil.copy2(server.secret_file, toy / ".env")
    shutil.copytree(repository / "flows", toy / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    worker = server.start([sys.executable, "-m", "flows.worker"], toy)
    wait_for(lambda: any(w["status"] == "ONLINE" for w in workers(server)))
    yield toy
    stop(worker)
    wait_for(lambda: worker.poll() is not None)


def workers(server):
    found = httpx.post(f"{server.url}/work_pools/local/workers/filter", json={}, auth=server.auth, timeout=20)
    return found.json() if found.status_code == 200 else []


def run_deployment(server, project, *options, name="full-pipeline"):
    command = [*PREFECT, "deployment", "run", name, *options]
    return subprocess.run(
        command, cwd=project, env=server.environment, capture_output=True, text=True, timeout=1800, check=False
    )


def latest_flow_run(server):
    return server.read("flow_runs", sort="START_TIME_DESC", limit=1)[0]


def stage_states(server, flow_run):
    runs = server.read("task_runs", flow_runs={"id": {"any_": [flow_run["id"]]}})
    return {run["name"].rsplit("-", 1)[0]: run["state_name"] for run in runs}


def test_the_bare_name_runs_through_a_worker_and_a_second_run_finds_nothing_to_do(server, project):
    first = run_deployment(server, project, "--watch")
    assert first.returncode == 0, first.stdout + first.stderr
    run = latest_flow_run(server)
    assert run["state_type"] == "COMPLETED"
    assert run["state"]["message"] == "4 ran"
    assert (project / "model.txt").read_text() == "one\none\n"
    assert (project / "url.txt").read_text().endswith(f"/runs/flow-run/{run['id']}")

    assert run_deployment(server, project, "--watch").returncode == 0
    second = latest_flow_run(server)
    assert second["id"] != run["id"]
    assert second["state"]["message"] == "1 ran, 3 unchanged"
    assert stage_states(server, second) == {
        "inventory": "Ran",
        "collect@rooms": "Unchanged",
        "collect@streets": "Unchanged",
        "train": "Unchanged",
    }
    artifacts = server.read("artifacts", artifacts={"flow_run_id": {"any_": [second["id"]]}})
    assert "| `train` | unchanged |" in artifacts[0]["data"]

    events = httpx.post(f"{server.url}/events/filter", json=EVENTS, auth=server.auth, timeout=20).json()["events"]
    made = {event["resource"]["prefect.resource.id"]: event for event in events if "materialization" in event["event"]}
    model = made[f"dvc://{project.name}/model.txt"]
    assert model["event"] == "prefect.asset.materialization.succeeded"
    assert model["payload"]["md5"] == hashlib.md5(b"one\none\n").hexdigest()
    read = {one["prefect.resource.id"] for one in model["related"] if one["prefect.resource.role"] == "asset"}
    assert {f"dvc://{project.name}/rooms.txt", f"dvc://{project.name}/streets.txt"} <= read


def test_part_of_the_graph_with_other_parameters_is_kept_as_an_experiment(server, project):
    with open(project / "dvc.yaml", "a") as graph:
        graph.write("  learn: {cmd: grep ^alpha params.yaml > learned.txt, params: [alpha], outs: [learned.txt]}\n")
    commit()
    options = {"overrides": ["alpha=0.7"], "to_stage": "learn", "experiment": "softer"}
    first = run_deployment(server, project, "--watch", "--params", json.dumps(options))
    assert first.returncode == 0, first.stdout + first.stderr
    name = latest_flow_run(server)["name"]
    wait_for(
        lambda: any(
            message["text"].startswith(f"full-pipeline completed ({name}): 1 ran") for message in told_of(server)
        )
    )
    assert latest_flow_run(server)["state"]["message"] == "1 ran"
    assert (project / "learned.txt").read_text() == "alpha: 0.7\n"
    assert "alpha: 0.85" in (project / "params.yaml").read_text()
    listed = subprocess.run(["dvc", "exp", "list", "--name-only"], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == ["softer"]


def test_a_source_that_grows_starts_the_data_engine(server, project):
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["sources"]["unlabeled"] = {"album": {"reader": "image_folder", "root": "album", "minimum_count": 0}}
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    (project / "album").mkdir()
    Image.new("RGB", (64, 48)).save(project / "album" / "a.png")
    watch = server.start([sys.executable, "-m", "flows.watch", "--every", "1"], project)
    try:
        wait_for(lambda: states_of(server, "data-engine"))
    finally:
        stop(watch)
    # This project has no catalogs, so the run fails; the next test must not meet it.
    wait_for(lambda: states_of(server, "data-engine") == ["FAILED"])


def told_of(server):
    return [message for _, message in server.told]


def deployment(server, name):
    (found,) = [one["id"] for one in server.read("deployments") if one["name"] == name]
    return found


def states_of(server, name):
    found = server.read("flow_runs", deployments={"id": {"any_": [deployment(server, name)]}}, limit=20)
    return [run["state_type"] for run in found]


def test_wrong_parameters_stop_the_flow_before_any_stage(server, project):
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("alpha: 0.85", "alpha: 1.5"))
    run_deployment(server, project, "--watch")
    run = latest_flow_run(server)
    assert run["state_type"] == "FAILED"
    assert "alpha = 1.5" in run["state"]["message"]
    assert stage_states(server, run) == {}
    assert not (project / "inventory.txt").exists()


def test_a_failed_stage_fails_the_flow_and_names_what_did_not_run(server, project):
    graph = project / "dvc.yaml"
    graph.write_text(graph.read_text().replace("cat inventory.txt >", "test ${item} = streets && cat inventory.txt >"))
    run_deployment(server, project, "--watch")
    run = latest_flow_run(server)
    assert run["state_type"] == "FAILED"
    assert "failed: collect@rooms; not run: train" in run["state"]["message"]
    states = stage_states(server, run)
    assert (states["collect@rooms"], states["collect@streets"]) == ("Failed", "Ran")


def test_cancelling_ends_the_stage_with_its_whole_process_group(server, project):
    graph = project / "dvc.yaml"
    graph.write_text(graph.read_text().replace("echo listed", "sh -c 'echo $$ > pid.txt; sleep 500'"))
    idle = processes.working_in(project)  # the worker
    run_deployment(server, project)
    pid = project / "pid.txt"
    wait_for(lambda: pid.exists() and pid.read_text().strip())
    assert processes.working_in(project) > idle
    run = latest_flow_run(server)
    subprocess.run([*PREFECT, "flow-run", "cancel", run["id"]], cwd=project, env=server.environment, check=True)
    wait_for(lambda: not os.path.exists(f"/proc/{pid.read_text().strip()}"), seconds=60)
    wait_for(lambda: latest_flow_run(server)["state_type"] == "CANCELLED", seconds=60)
    assert processes.working_in(project) == idle
    text = f"full-pipeline cancelled ({run['name']}): Flow run was cancelled."
    (told,) = [message for message in told_of(server) if message["run"] == run["name"]]
    assert (told["state"], told["text"].splitlines()[0]) == ("CANCELLED", text)
    graph.write_text(graph.read_text().replace("sleep 500", "true"))
    again = run_deployment(server, project, "--watch")  # nothing is locked
    assert again.returncode == 0, again.stdout + again.stderr
    assert latest_flow_run(server)["state"]["message"] == "4 ran"


def test_who_does_not_know_the_secret_gets_nowhere(server):
    for auth in (None, ("admin", "wrong")):
        for kind in ("flows", "deployments", "work_pools", "flow_runs"):
            answer = httpx.post(f"{server.url}/{kind}/filter", json={}, auth=auth, timeout=20)
            assert answer.status_code == 401, (kind, answer.text)
        for kind in ("flows", "deployments", "work_pools"):
            assert httpx.post(f"{server.url}/{kind}/", json={"name": "x"}, auth=auth, timeout=20).status_code == 401


def test_neither_the_secret_nor_a_credential_stands_in_a_log(server, project):
    run_deployment(server, project, "--watch")
    secret = server.auth[1]
    assert secret not in (server.secret_file.parent / "server.log").read_text()
    logs = server.read("logs", limit=200)
    assert logs and secret not in str(logs)
    deployments = str(server.read("deployments")) + str(server.read("flow_runs")) + str(server.read("work_pools"))
    assert secret not in deployments
    assert canaries.leaks(project, str(logs), deployments) == canaries.leaks(server.secret_file.parent) == []


def test_pages_of_others_are_told_to_stay_out(repository, tmp_path):
    """The list in prefect.toml is what Prefect answers to; the server of these tests has another port."""
    home = tmp_path / "home"
    shutil.copytree(repository / "flows", home / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(repository / "prefect.toml", home / "prefect.toml")
    server = Server(home)
    try:
        for origin, allowed in (("http://evil.example", False), ("http://127.0.0.1:4200", True)):
            asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            answer = httpx.options(f"{server.url}/flows/filter", headers=asked, timeout=20)
            assert ("access-control-allow-origin" in answer.headers) == allowed, origin
    finally:
        stop(server.process)
