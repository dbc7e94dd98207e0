"""Where runs are told to: a server that does not answer, and addresses with passwords, end in one line."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from depth_model.errors import UserError
from tasks.tracking import mlflow_runs

pytestmark = pytest.mark.hostile


@pytest.fixture
def silent():
    """The address of a server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_silent_server_is_named_within_ten_seconds(silent, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    began = time.monotonic()
    with pytest.raises(UserError, match=f"no tracking server answers at {silent} within 5 s") as caught:
        mlflow_runs.connect()
    assert time.monotonic() - began < 10
    assert len(str(caught.value).splitlines()) == 1


def test_a_closed_port_is_named(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with pytest.raises(UserError, match="Connection refused"):
        mlflow_runs.connect()


@pytest.mark.parametrize("status", [200, 401, 404])
def test_whatever_a_server_answers_is_an_answer(status):
    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mlflow_runs.check_answers(f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()


@pytest.mark.parametrize("uri", ["http://me:CANARY@127.0.0.1:1", "mysql://me:CANARY@db/x"])
def test_a_password_in_the_address_is_refused_and_never_told(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_USERNAME") as caught:
        mlflow_runs.connect()
    assert "CANARY" not in str(caught.value)
