"""A model by its name on the hub, from a hub that runs here: what is taken, what is pinned, what is said."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from depth_model.errors import UserError
from depth_model.networks import DepthAnything
from tasks.tracking.named_models import NamedModel, find_model

COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's interface that a download needs, for the models in `server.models`."""

    def do_GET(self):
        self.server.asked.append(self.path)
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._describe("/".join(parts[2:4]), parts[4:])
        else:
            self._file("/".join(parts[:2]), parts[-1])

    do_HEAD = do_GET

    def _describe(self, model, rest):
        stored = self.server.models.get(model)
        if stored is None or (rest and rest[0] == "revision" and rest[1] not in ("main", "v1", COMMIT)):
            missing = "RepoNotFound" if stored is None else "RevisionNotFound"
            return self._reply(b"{}", 404, {"X-Error-Code": missing})
        if rest[:1] == ["tree"]:
            tree = [{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in stored.items()]
            return self._reply(json.dumps(tree).encode())
        listed = {"id": model, "sha": COMMIT, "siblings": [{"rfilename": name} for name in stored]}
        return self._reply(json.dumps(listed).encode())

    def _file(self, model, name):
        data = self.server.models[model][name]
        return self._reply(data, 200, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def _reply(self, data, status=200, headers=()):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with the model `org/tiny`; the current folder and the cache are empty."""
    from huggingface_hub import constants

    DepthAnything("tiny", seed=1).save(tmp_path / "made")
    content = {one.name: one.read_bytes() for one in (tmp_path / "made").iterdir()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.models = {"org/tiny": content | {"run.py": b"evil", "old.pth": b"evil"}, "org/pickle": {"old.pth": b"evil"}}
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["org/tiny", "org/tiny@v1"])
def test_only_tensors_and_settings_are_taken_and_the_revision_is_pinned(hub, name):
    found = find_model(name)
    assert found.origin == f"org/tiny@{COMMIT}"
    assert {one.name for one in found.path.iterdir()} == {
        "config.json", "model.safetensors", "preprocessor_config.json"
    }  # fmt: skip
    assert not [one for one in hub.asked if one.endswith((".py", ".pth"))]
    assert DepthAnything.load(found.path).encoder.size == "tiny"


def test_a_folder_of_that_name_comes_first(hub, tmp_path):
    (tmp_path / "here/org/tiny").mkdir(parents=True)
    assert find_model("org/tiny") == NamedModel(find_model("org/tiny").path, "org/tiny")
    assert find_model("org/tiny", tmp_path / "here").path == tmp_path / "here/org/tiny"
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("org/tiny@v9", "no such revision"),
        ("org/none", "no such file or folder, and no such model on the hub"),
        ("org/pickle", "holds no safetensors file"),
        ("weights/depth.pth", "there is no such file or folder"),
        ("models/metric/nyu", "there is no such file or folder"),
        ("../org/tiny", "there is no such file or folder"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(hub, name, said):
    with pytest.raises(UserError, match=said) as raised:
        find_model(name)
    assert len(str(raised.value).splitlines()) == 1
    assert not [one for one in hub.asked if "resolve" in one]


def test_without_the_hub_the_cache_serves_or_the_remedy_is_said(hub):
    known = find_model("org/tiny")
    hub.shutdown()
    hub.server_close()
    assert find_model("org/tiny") == known
    with pytest.raises(
        UserError, match=r"download config.json and model.safetensors from http://\S+/org/new/tree/main"
    ):
        find_model("org/new")
