"""The champion over HTTP: the depth of the pipeline for images in base64, one line for whatever is no such request."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import mlflow
import numpy
import pandas
import pytest
from PIL import Image
from starlette.testclient import TestClient

from depth_model.errors import UserError
from depth_model.networks import DepthAnything
from depth_model.prediction.predictor import DepthPredictor
from depth_model.shards import decoding
from tasks.commands import serve
from tasks.tracking import registry
from tests.tasks.tracking.test_registered_model import IMAGES

CHAMPION = "models:/depth-anything-student@champion"
LARGEST, MOST = 100_000, 3


def text(image):
    return base64.b64encode(image).decode()


def records(*images, **more):
    return {"dataframe_records": [{"image": text(one)} for one in images]} | more


def split(*images):
    return {"dataframe_split": {"columns": ["image"], "data": [[text(one)] for one in images]}}


def maps(answer):
    rows = answer["predictions"]
    return [
        numpy.frombuffer(base64.b64decode(row["disparity"]), "<f4").reshape(row["height"], row["width"]) for row in rows
    ]


@pytest.fixture(scope="module")
def model(registered):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")
        patch.setenv("DVC_ROOT", str(registered))
        patch.chdir(registered)
        yield registry.registered_pyfunc(CHAMPION)


@pytest.fixture(scope="module")
def client(model):
    with decoding.limited_to(3_000_000):
        yield TestClient(serve.application(model, LARGEST, MOST), base_url="http://localhost")


@pytest.fixture(scope="module")
def of_mlflow(model):
    """The server that `mlflow models serve` runs."""
    from mlflow.pyfunc import scoring_server

    return TestClient(scoring_server.init(model))


def expected(registered, images, short_side=56):
    return DepthPredictor(DepthAnything.load(registered / "models" / "student"), short_side=short_side)(images)


@pytest.mark.parametrize("form", [records, split])
@pytest.mark.parametrize("server", ["client", "of_mlflow"])
def test_images_in_base64_get_the_depth_of_the_pipeline(request, registered, server, form):
    answer = request.getfixturevalue(server).post("/invocations", json=form(*IMAGES))
    assert answer.status_code == 200, answer.text
    found = maps(answer.json())
    assert [one.shape for one in found] == [(60, 80), (90, 50), (60, 80)]
    for ours, theirs in zip(expected(registered, IMAGES), found):
        numpy.testing.assert_array_equal(theirs, ours)


def test_another_working_size_can_be_asked_for(client, registered):
    answer = client.post("/invocations", json=records(IMAGES[0], params={"short_side": 28}))
    numpy.testing.assert_array_equal(maps(answer.json())[0], expected(registered, IMAGES[:1], 28)[0])


def bomb(side):
    """A PNG of a few kilobytes that decodes to side * side * 3 bytes."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def endless():
    """A PNG whose head says 60000 x 60000 and whose data end at once."""
    head = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    parts = [
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big") for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


HOSTILE = {
    "no JSON": (b"{", "no JSON"),
    "deep JSON": (b"[" * 90_000, "no JSON"),
    "a number of many digits": (b"9" * 90_000, "no JSON"),
    "no UTF-8": (b"\xff\xfe{}", "no JSON"),
    "a list": (b"[]", "must be"),
    "other keys": ({"pictures": []}, "must be"),
    "other columns": ({"dataframe_records": [{"picture": text(IMAGES[0])}]}, "must be"),
    "one more column": ({"dataframe_records": [{"image": text(IMAGES[0]), "mask": ""}]}, "must be"),
    "rows that do not fit": ({"dataframe_split": {"columns": ["image"], "data": [["", ""]]}}, "must be"),
    "columns of one name": ({"dataframe_split": {"columns": ["image"] * 2, "data": [["AAAA"] * 2]}}, "must be"),
    "both forms": (records(IMAGES[0]) | split(IMAGES[0]), "must be"),
    "a table without rows": ({"dataframe_split": {"columns": ["image"]}}, "must be"),
    "a row that is none": ({"dataframe_records": [1]}, "must be"),
    "no image": ({"dataframe_records": []}, "0 images: must be 1 to 3"),
    "too many images": (records(*IMAGES, *IMAGES), "6 images: must be 1 to 3"),
    "no base64": ({"dataframe_records": [{"image": "<svg>"}]}, "image 0: must be text in base64"),
    "cut base64": ({"dataframe_records": [{"image": "iVBOR"}]}, "image 0: must be text in base64"),
    "a number for an image": ({"dataframe_records": [{"image": 7}]}, "image 0: must be text in base64"),
    "an empty image": (records(b""), "image 0: empty file"),
    "text for an image": (records(IMAGES[0], b"#!/bin/sh\necho"), "image 1: "),
    "half an image": (records(IMAGES[0][:500]), "image 0: "),
    "a decompression bomb": (
        records(bomb(3000)),
        "image 0: 3000 x 3000 pixels are too large: 27000000 bytes decoded, --decode-budget",
    ),
    "a head that promises more": (records(endless()), "image 0: 60000 x 60000 pixels are too large"),
    "a body that is too large": (b" " * (LARGEST + 1), f"is larger than {LARGEST} bytes"),
    "a side that is no multiple": (records(IMAGES[0], params={"short_side": 57}), "short_side = 57: must be"),
    "a huge side": (records(IMAGES[0], params={"short_side": 14_000_000}), "short_side = 14000000: must be at most"),
    "params that are none": (records(IMAGES[0], params=[1]), "params: must be"),
    "a side that is text": (records(IMAGES[0], params={"short_side": "x"}), "short_side"),
}


@pytest.mark.hostile
@pytest.mark.parametrize("body", HOSTILE)
def test_what_is_no_request_is_refused_in_one_line(client, body):
    sent, said = HOSTILE[body]
    data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    answer = client.post("/invocations", content=data, headers={"Content-Type": "application/json"})
    assert answer.status_code == (413 if "larger" in said else 400), answer.text
    (error,) = answer.json().values()
    assert said in error
    assert len(error) < 500 and "\n" not in error and "Traceback" not in answer.text


@pytest.mark.hostile
def test_other_types_hosts_and_methods_are_refused(client):
    parquet = {"Content-Type": "application/vnd.apache.parquet"}
    assert client.post("/invocations", content=b"PAR1", headers=parquet).status_code == 415
    assert client.post("/invocations", json=records(IMAGES[0]), headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/invocations").status_code == 405
    assert client.get("/ping").status_code == 200


@pytest.mark.hostile
@pytest.mark.parametrize("image", [b"#!/bin/sh\necho", b"", IMAGES[0][:500], bomb(3000)])
def test_the_server_of_mlflow_answers_no_traceback_for_what_is_no_image(client, of_mlflow, image):
    answer = of_mlflow.post("/invocations", json=records(image))
    assert answer.status_code == 400
    assert "image 0: " in answer.json()["message"]
    assert "Traceback" not in answer.text


@pytest.mark.hostile
def test_no_code_of_the_registry_is_run(registered, model, monkeypatch, tmp_path):
    (stored,) = {path.parent for path in (registered / "mlartifacts").rglob("registered_model.py")}
    shutil.copytree(stored, tmp_path / "stored")
    (tmp_path / "stored" / "registered_model.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda artifact_uri: str(tmp_path / "stored"))
    assert registry.registered_pyfunc(CHAMPION).predict(pandas.DataFrame({"image": [IMAGES[0]]})).height[0] == 60
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["models/student", "models:/nobody@champion", "models:/depth-anything-student@nobody"])
def test_a_name_that_leads_nowhere_is_one_line(model, name):
    with pytest.raises(UserError) as refused:
        registry.registered_pyfunc(name)
    assert str(refused.value).startswith(name)
    assert len(str(refused.value).splitlines()) == 1


def answered(url, body=None):
    """The status and content of an answer, None while nothing listens."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("command", ["mlflow models serve", "depth-anything serve"])
def test_the_commands_answer_over_a_socket(registered, command, tmp_path):
    """Both, as a user starts them: the same depth; a hostile body, and they go on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = [sys.executable, "-m", "tasks.commands.main", "serve", "--model", CHAMPION, "--port", str(port)]
    theirs = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-m", CHAMPION]
    words = ours if command == "depth-anything serve" else [*theirs, "-h", "127.0.0.1", "-p", str(port)]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{registered / 'mlflow.db'}",
        "PYTHONPATH": str(Path(registry.__file__).parents[2]),
        "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
    }
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(
            words, cwd=registered, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 300
        while answered(f"http://127.0.0.1:{port}/ping") is None:
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        url = f"http://127.0.0.1:{port}/invocations"
        assert answered(url, json.dumps(records(b"no image")).encode())[0] == 400
        status, content = answered(url, json.dumps(records(*IMAGES)).encode())
        assert status == 200, content
        for ours, theirs in zip(expected(registered, IMAGES), maps(json.loads(content))):
            numpy.testing.assert_array_equal(theirs, ours)
    finally:
        os.killpg(server.pid, 15)
        server.wait(60)
