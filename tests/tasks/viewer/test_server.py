"""The viewer's server: what it gives agrees with `predict`, and what it refuses."""

from __future__ import annotations

import io
import re
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from depth_model.errors import BadInput
from depth_model.media.point_cloud import VERTEX, camera, relative_depth
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.metric.prediction.predictor import MetricPredictor
from depth_model.metrics.normals import points
from depth_model.networks import DepthAnything
from depth_model.prediction.calibration import Calibration
from depth_model.prediction.predictor import DepthPredictor
from depth_model.reading.video import frames
from tasks.commands.shared import listening
from tasks.viewer.session import DEPTHS, FILES

pytestmark = pytest.mark.hostile


@pytest.fixture
def client(viewer):
    with httpx.Client(base_url=viewer, timeout=120) as client:
        yield client


def drop(client, path, name=None):
    return client.post("api/files", params={"name": name or path.name}, content=path.read_bytes())


def ask(client, file, model, **more):
    return client.post("api/depth", json={"file": file, "model": str(model), "short_side": 56, **more})


def refusal(answer, status=400):
    """The one line of a refused request."""
    assert answer.status_code == status, answer.text
    (said,) = answer.json().values()
    assert "\n" not in said and "Traceback" not in said
    return said


def cloud(content):
    head, _, body = content.partition(b"end_header\n")
    found = np.frombuffer(body, VERTEX)
    assert f"element vertex {len(found)}\n".encode() in head
    return np.stack([found[axis] for axis in "xyz"], axis=-1)


def test_depth_is_that_of_the_model_in_every_file(client, models, photo, pixels):
    file = drop(client, photo).json()
    assert (file["height"], file["width"], file["frames"]) == (*pixels.shape[:2], 0)
    shown = np.asarray(Image.open(io.BytesIO(client.get(f"api/files/{file['file']}/picture.jpg").content)))
    assert np.abs(shown.astype(int) - pixels).mean() < 3

    told = ask(client, file["file"], models / "relative").json()
    expected = DepthPredictor(DepthAnything.load(models / "relative"), 56)(pixels)
    place = f"api/depth/{told['depth']}"
    np.testing.assert_array_equal(np.load(io.BytesIO(client.get(f"{place}/values.npy").content)), expected)
    gray = np.asarray(Image.open(io.BytesIO(client.get(f"{place}/gray.png").content)))
    assert gray.dtype == np.uint16 and not told["metric"]
    np.testing.assert_allclose(gray / 65535, (expected - expected.min()) / np.ptp(expected), atol=1e-4)
    assert Image.open(io.BytesIO(client.get(f"{place}/color.png").content)).size == pixels.shape[1::-1]
    found = cloud(client.get(f"{place}/cloud.ply", params={"field_of_view": 70, "farthest": 5}).content)
    wanted = points(relative_depth(expected, 5), camera(70, *expected.shape))
    np.testing.assert_allclose(found, wanted.reshape(-1, 3), rtol=1e-5, atol=1e-5)


def test_a_thinned_cloud_of_meters_lies_in_the_whole_one(client, models, photo, pixels):
    file = drop(client, photo).json()["file"]
    told = ask(client, file, models / "metric").json()
    depth = MetricPredictor(MetricDepth.load(models / "metric"))(pixels)
    found = cloud(client.get(f"api/depth/{told['depth']}/cloud.ply", params={"field_of_view": 70, "step": 3}).content)
    wanted = points(depth, camera(70, *depth.shape))[::3, ::3]
    np.testing.assert_allclose(found, wanted.reshape(-1, 3), rtol=1e-5, atol=1e-5)


def test_meters_of_a_calibrated_model_follow_the_camera(client, models, photo, pixels):
    DepthAnything("tiny", seed=1).save(models / "calibrated")
    calibration = Calibration("disparity", 1.0, 0.1, 50.0, 56, 1.2, 3, 0.1, 0.2, 3)
    calibration.write(models / "calibrated")
    file, disparity = drop(client, photo).json()["file"], DepthPredictor(DepthAnything("tiny", seed=1), 56)(pixels)
    for view, focal in ((None, None), (90, 32 / 48)):  # 32 pixels, half the width, of 48 of the shorter side
        told = ask(client, file, models / "calibrated", field_of_view=view).json()
        assert told["metric"] and told["with_camera"]
        found = np.load(io.BytesIO(client.get(f"api/depth/{told['depth']}/values.npy").content))
        np.testing.assert_allclose(found, calibration.meters(disparity, focal), rtol=1e-6)
    assert "calibration is for 56" in refusal(ask(client, file, models / "calibrated", short_side=28))


def test_frames_of_a_video_are_told_apart(client, models, video, pixels):
    file = drop(client, video).json()
    assert file["frames"] == 3
    second = client.get(f"api/files/{file['file']}/picture.jpg", params={"frame": 2}).content
    shown = np.asarray(Image.open(io.BytesIO(second))).astype(int)
    assert np.abs(shown - np.roll(pixels, 32, axis=1)).mean() < 12 < np.abs(shown - pixels).mean()
    assert ask(client, file["file"], models / "relative", frame=1).status_code == 200
    assert "frame 7" in refusal(ask(client, file["file"], models / "relative", frame=7))


def test_a_whole_video_becomes_a_video_of_depth_beside_it(client, models, video, photo, pixels, tmp_path):
    file = drop(client, video).json()["file"]
    wish = {"file": file, "model": str(models / "relative"), "short_side": 56}
    told = client.post("api/clip", json=wish).json()
    assert told["said"].startswith("3 frames")
    assert client.get("api/clip/done").json() == 6  # three of them for the range of the colors
    answer = client.get(f"api/clip/{told['clip']}/depth.mp4")
    assert answer.headers["content-type"] == "video/mp4"
    (tmp_path / "depth.mp4").write_bytes(answer.content)
    found = list(frames(tmp_path / "depth.mp4"))
    assert len(found) == 3 and found[0].shape == (48, 128, 3)
    assert np.abs(found[0][:, :64].astype(int) - pixels).mean() < 20
    assert "no longer kept" in refusal(client.get("api/clip/x/depth.mp4"), 404)
    picture = drop(client, photo).json()["file"]
    assert "not a video" in refusal(client.post("api/clip", json=wish | {"file": picture}))


def test_the_page_lets_the_browser_ask_nobody_else(client):
    answer = client.get("")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    named = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert set(named) == {"icon.svg", "viewer.css", "viewer.js"}
    for name in (*named, "panel.js", "cloud.js"):
        text = client.get(name).text
        assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "").replace("//\n", ""), name
    assert client.get("server.py").status_code == client.get("../server.py").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "localhost.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_names_and_other_pages_are_refused(client, headers):
    for method, path in (("GET", ""), ("GET", "api/start"), ("POST", "api/depth"), ("OPTIONS", "api/files")):
        answer = client.request(method, path, headers=headers)
        refusal(answer, 403)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_its_own_page_is_served_under_both_names(client, viewer):
    port = urlsplit(viewer).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert client.get("api/start", headers=own).status_code == 200


def test_who_does_not_know_the_secret_finds_nothing(viewer):
    top = viewer.removesuffix("secret/")
    for path in ("", "api/start", "secre/api/start", "secret%00/api/start"):
        refusal(httpx.get(top + path), 404)


def test_files_that_are_none_are_refused_and_removed(client, viewer, photo, tmp_path):
    def said(name, content):
        return refusal(client.post("api/files", params={"name": name}, content=content))

    assert "neither a picture nor a video" in said("notes.txt", b"hello")
    assert "neither a picture nor a video" in said("../../etc/passwd", b"hello")
    assert "\\x1b" in said("\x1b[2J.exe", b"")
    assert "not an image in a known format" in said("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run")
    assert "not a video" in said("a.mp4", b"#EXTM3U\nfile:///etc/passwd\n")
    assert "empty" in said("a.png", b"") and "empty" in said("a.mp4", b"")
    assert "damaged" in said("a.png", photo.read_bytes()[:60])
    bomb = io.BytesIO()
    Image.new("L", (8000, 4000)).save(bomb, "PNG")
    assert "--decode-budget is 10000000" in said("a.png", bomb.getvalue()[:90_000])


def test_files_beyond_the_limit_are_cut_off(client, tmp_path_factory):
    folder = next(tmp_path_factory.getbasetemp().glob("session*"))
    before = set(folder.iterdir())
    assert "--largest" in refusal(client.post("api/files", params={"name": "a.png"}, content=bytes(100_001)), 413)
    chunks = (bytes(10_000) for _ in range(20))  # no length is told
    assert "--largest" in refusal(client.post("api/files", params={"name": "a.png"}, content=chunks), 413)
    assert set(folder.iterdir()) == before
    refusal(client.post("api/depth", content=b" " * 10_001), 413)


def test_what_is_asked_for_wrongly_is_said_in_one_line(client, models, photo):
    file = drop(client, photo).json()["file"]
    assert "no such file or folder" in refusal(ask(client, file, "models/nothing.pth"))
    (models / "empty").mkdir(exist_ok=True)
    refusal(ask(client, file, models / "empty"))
    assert "short_side" in refusal(ask(client, file, models / "relative", short_side=0))
    assert "multiple of 14" in refusal(ask(client, file, models / "relative", short_side=57))
    assert "color" in refusal(ask(client, file, models / "relative", color="red"))
    assert "field_of_view" in refusal(ask(client, file, models / "relative", field_of_view=180))
    assert "JSON" in refusal(client.post("api/depth", content=b"{"))
    assert "no longer kept" in refusal(ask(client, "../x", models / "relative"), 404)
    told = ask(client, file, models / "relative").json()["depth"]
    for wrong in ({"field_of_view": "nan"}, {"farthest": 1}, {"step": 0}, {"field_of_view": "x"}):
        assert next(iter(wrong)) in refusal(client.get(f"api/depth/{told}/cloud.ply", params=wrong))
    refusal(client.get(f"api/depth/{told}/passwd"), 404)


def test_no_more_is_kept_than_is_shown(client, models, photo, tmp_path_factory):
    files = [drop(client, photo).json()["file"] for _ in range(FILES + 1)]
    kept = next(tmp_path_factory.getbasetemp().glob("session*")).iterdir()
    assert len([one for one in kept if not one.name.endswith(".color.mp4")]) == FILES
    refusal(ask(client, files[0], models / "relative"), 404)
    depths = [ask(client, files[-1], models / "relative").json()["depth"] for _ in range(DEPTHS + 1)]
    assert client.get(f"api/depth/{depths[-1]}/gray.png").status_code == 200
    refusal(client.get(f"api/depth/{depths[0]}/gray.png"), 404)
    assert len(set(depths)) == len(depths)


def test_a_model_that_was_trained_anew_is_loaded_anew(client, models, photo, pixels):
    file = drop(client, photo).json()["file"]
    for seed in (3, 4):
        DepthAnything("tiny", seed=seed).save(models / "changing")
        told = ask(client, file, models / "changing").json()["depth"]
        found = np.load(io.BytesIO(client.get(f"api/depth/{told}/values.npy").content))
        np.testing.assert_array_equal(found, DepthPredictor(DepthAnything("tiny", seed=seed), 56)(pixels))


def test_a_port_that_is_taken_is_named():
    with listening(0) as bound:
        bound.listen()
        assert bound.getsockname()[0] == "127.0.0.1"
        with pytest.raises(BadInput, match=r"--port .* another program listens there"):
            listening(bound.getsockname()[1])
    with pytest.raises(BadInput, match="--port 70000"):
        listening(70000)


def test_a_model_in_the_home_folder_is_found(client, models, photo, monkeypatch):
    monkeypatch.setenv("HOME", str(models))
    assert ask(client, drop(client, photo).json()["file"], " ~/relative").status_code == 200


def test_models_at_hand_are_offered(client, models, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    monkeypatch.chdir(models.parent)
    (tmp_path / "models").symlink_to(models)
    monkeypatch.chdir(tmp_path)
    assert client.get("api/models").json() == sorted(
        f"models/{one.name}" for one in models.iterdir() if (one / "config.json").is_file()
    )
