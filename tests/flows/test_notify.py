"""The message at the end of a flow, taken by a real server on loopback."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.states import Cancelling, Completed, Failed

from depth_model.errors import UserError
from flows import notify

URL = "http://127.0.0.1:4200/runs/flow-run/1"


@contextmanager
def webhook(status=200):
    """Yield the address of a server and the messages that it was sent."""
    taken = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", taken
    finally:
        server.shutdown()
        server.server_close()


def test_it_says_which_flow_ended_how_and_where_to_look():
    with webhook() as (address, taken):
        notify.send(address, notify.message("data-engine", "calm-owl", Failed(message="failed: audit"), URL))
    ((kind, found),) = taken
    assert kind == "application/json"
    assert found["text"] == f"data-engine failed (calm-owl): failed: audit\n{URL}"
    assert (found["flow"], found["run"], found["state"], found["url"]) == ("data-engine", "calm-owl", "FAILED", URL)
    assert notify.message("a", "b", Completed(), "")["text"] == "a completed (b)"
    assert notify.message("a", "b", Cancelling(), "")["state"] == "CANCELLED"


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "nonsense"])
def test_only_the_web_is_told(address):
    with pytest.raises(UserError, match="must begin with http"):
        notify.send(address, {})


def test_an_address_that_does_not_take_it_is_not_shown():
    with webhook(status=500) as (address, _), pytest.raises(UserError) as caught:
        notify.send(address + "/secret-token", {})
    assert "was not taken" in str(caught.value) and "secret-token" not in str(caught.value)
    with pytest.raises(UserError, match="was not taken"):
        notify.send("http://127.0.0.1:1/secret-token", {})


def test_the_hook_takes_what_prefect_gives_by_name_and_says_nothing_without_an_address(monkeypatch):
    given = {"flow": SimpleNamespace(name="finetune"), "state": Completed(message="2 ran")}
    given["flow_run"] = SimpleNamespace(name="calm-owl", id=uuid4())
    monkeypatch.delenv(notify.WEBHOOK, raising=False)
    with webhook() as (address, taken):
        notify.tell(**given)
        assert taken == []
        monkeypatch.setenv(notify.WEBHOOK, address)
        notify.tell(**given)
    assert taken[0][1]["text"].startswith("finetune completed (calm-owl): 2 ran")
