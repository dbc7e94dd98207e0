"""What the worker command says when it cannot start; that it does start is tested end to end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


def start(folder, **environment):
    command = [sys.executable, "-m", "flows.worker", "--wait", "1"]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_without_a_server_it_says_how_to_start_one(tmp_path, free_port):
    (tmp_path / "prefect.yaml").write_text("deployments: []\n")
    url = f"http://127.0.0.1:{free_port}/api"
    ended = start(tmp_path, PREFECT_API_URL=url, PREFECT_HOME=str(tmp_path))
    assert ended.returncode == 1
    assert f"no Prefect server answers at {url}" in ended.stderr
    assert "prefect server start" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_outside_the_project_it_says_so(tmp_path):
    ended = start(tmp_path)
    assert ended.returncode == 1
    assert "prefect.yaml is not in this folder" in ended.stderr


@pytest.mark.parametrize(("status", "says"), [(404, "something else than a healthy"), (401, "something else than a")])
def test_something_else_on_the_port_is_named(tmp_path, status, says):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

    other = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    (tmp_path / "prefect.yaml").write_text("deployments: []\n")
    url = f"http://127.0.0.1:{other.server_port}/api"
    ended = start(tmp_path, PREFECT_API_URL=url, PREFECT_HOME=str(tmp_path))
    other.shutdown()
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert says in line and url in line
