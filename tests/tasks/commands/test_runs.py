"""MLflow's pages answer to this machine, and to no page but their own."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import time

import httpx
import pytest

from depth_model.errors import UserError
from tasks.commands import runs
from tasks.tracking import mlflow_runs, views
from tests.browser import CHROMIUM, Browser

pytestmark = pytest.mark.hostile
ASKED = "/ajax-api/2.0/mlflow/experiments/search"


def test_nobody_else_reaches_the_port():
    said = runs.command(5123)
    flags = dict(zip(said[4::2], said[5::2]))
    assert flags["--host"] == "127.0.0.1"
    assert flags["--allowed-hosts"] == "127.0.0.1:5123,localhost:5123"
    assert flags["--cors-allowed-origins"] == "http://127.0.0.1:5123,http://localhost:5123"


def test_a_server_that_keeps_the_runs_is_named_in_one_line(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"no tracking server answers at http://127\.0\.0\.1:9") as caught:
        runs.run(argparse.Namespace(port=5123))
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(runs.mlflow_runs, "check_answers", lambda uri: None)
    with pytest.raises(UserError, match="open that address"):
        runs.run(argparse.Namespace(port=5123))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of the real pages over an empty store."""
    folder = tmp_path_factory.mktemp("runs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", environment["MLFLOW_TRACKING_URI"])
        command = runs.command(port)
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 300
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
            break
        except httpx.TransportError:
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.5)
    yield f"http://127.0.0.1:{port}"
    os.killpg(server.pid, 15)
    server.wait()


@pytest.mark.slow
def test_other_names_and_other_pages_are_refused(address):
    own, asked = {"Origin": address}, {"max_results": 1}
    assert httpx.post(address + ASKED, json=asked, headers=own, timeout=60).status_code == 200
    for headers in ({"Host": "evil.example"}, {"Host": "evil.example:5000", **own}, {"Origin": "http://evil.example"}):
        answer = httpx.post(address + ASKED, json=asked, headers=headers, timeout=60)
        assert answer.status_code == 403, (headers, answer.text)
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no browser here")
def test_the_view_shows_students_alone_the_best_first_with_alpha_beside_abs_rel(address, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    client = mlflow_runs.connect()
    where = views.students(client)
    for stage, alpha, measured in (
        ("train_student", 0.7, 0.31),
        ("train_student", 0.85, 0.29),
        ("train_teacher", 1, 0.2),
    ):
        run = client.create_run(mlflow_runs.experiment_id(client), tags={"stage": stage}, run_name=f"{stage}-{alpha}")
        client.log_param(run.info.run_id, "alpha", alpha)
        client.log_metric(run.info.run_id, "evaluation/mean/abs_rel", measured)
    with Browser(address + where, 1500) as page:
        page.until("document.body.innerText.includes('train_student-0.7')")
        shown = page.js("document.body.innerText")
    assert "train_teacher" not in shown
    assert shown.index("train_student-0.85") < shown.index("train_student-0.7")
    assert "alpha" in shown and "0.29" in shown
