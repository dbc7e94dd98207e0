"""What fails tells no credential: a store that is not there, and a tracking server that refuses or breaks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from PIL import Image

from tasks.settings import presets
from tests import canaries
from tests.tasks.starting import make_project

pytestmark = pytest.mark.hostile


@pytest.fixture
def project(tmp_path, repository):
    """A project with one small source."""
    content = presets.content(repository / "presets" / "demo.yaml")
    content |= {name: {} for name in ("export", "finetune_metric", "evaluate_metric", "finetune_semantic")}
    content |= {"evaluate_semantic": {}, "sources": {role: {} for role in ("labeled", "evaluation", "metric")}}
    options = {"domain": "hills", "count": 2, "seed": 1, "height": 64, "width": 96}
    content["sources"] |= {"unlabeled": {"world": {"reader": "rendered_world", "options": options}}, "semantic": {}}
    content["machine"]["collect"]["workers"] = 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    make_project(tmp_path)
    return tmp_path


def run(project, *stages, **environment):
    """Start stages as DVC does, or other modules; return what they said, and whether the last one failed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    said = []
    for stage in stages:
        command = stage if isinstance(stage, list) else ["tasks", stage]
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=project, capture_output=True, text=True, check=False,
            env=inherited | canaries.ENVIRONMENT | environment,
        )  # fmt: skip
        said.append(done.stdout + done.stderr)
    return said, bool(done.returncode)


@pytest.fixture
def closed():
    """The address of a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def refusing():
    """A server that refuses whatever is asked, and repeats in its answer what it was told."""

    class Server(BaseHTTPRequestHandler):
        def answer(self):
            told.append(str(self.headers))
            status = 200 if self.path.endswith("/health") else 500 if len(told) > 3 else 401
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"no")

        do_GET = do_POST = do_PUT = do_HEAD = answer

    told = []
    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", told
    server.shutdown()


def test_a_store_that_is_not_there_is_named_without_its_keys(project, closed):
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("store: local", "store: s3://bucket/depth"))
    assert "s3://bucket/depth" in params.read_text()
    said, failed = run(project, "inventory", "collect_unlabeled@world", AWS_ENDPOINT_URL=closed, AWS_MAX_ATTEMPTS="1")
    assert failed and "s3://bucket/depth" in said[-1]
    assert canaries.leaks(project, *said) == []


@pytest.mark.slow
def test_a_tracking_server_that_refuses_is_named_without_its_password(project, refusing):
    uri, told = refusing
    Image.new("RGB", (40, 40)).save(project / "a.jpg")
    command = ["tasks.commands.main", "predict", "a.jpg", "--model", "models:/x@champion", "-o", "out"]
    said, failed = run(project, command, MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
    assert failed and len(said[-1].splitlines()) == 1
    assert any("Authorization" in headers for headers in told)  # it was told the password
    assert canaries.leaks(project, *said) == []
