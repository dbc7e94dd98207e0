"""`depth-anything predict` as a user calls it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.metric.prediction.predictor import MetricPredictor
from depth_model.metrics.alignment import align_disparity
from depth_model.networks import DepthAnything
from depth_model.prediction.predictor import DepthPredictor
from depth_model.reading.video import frames
from tasks.commands.inputs import inputs
from tasks.settings import presets
from tasks.tracking import champions, mlflow_runs, registry
from tasks.workspace.entry import Entry
from tasks.workspace.work import Workplace
from tests.tasks.commands.calling import call


@pytest.fixture
def metric_model(tmp_path):
    MetricDepth(DepthAnything("tiny", seed=1), "bins", 10.0, input_size=(42, 56), seed=2).save(tmp_path / "metric")
    return tmp_path / "metric"


def test_a_folder_becomes_maps_that_agree(monkeypatch, model, album, tmp_path):
    call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", "--short-side", 56)
    disparity = np.load(tmp_path / "out" / "deep" / "b.png.npy")
    expected = DepthPredictor(DepthAnything.load(model), 56)(album / "a.png")
    np.testing.assert_array_equal(disparity, expected)
    gray = np.asarray(Image.open(tmp_path / "out" / "a.png.png"))
    assert gray.dtype == np.uint16
    low, high = expected.min(), expected.max()
    np.testing.assert_allclose(gray / 65535, (expected - low) / (high - low), atol=1e-4)
    assert Image.open(tmp_path / "out" / "a.png.color.png").mode == "RGB"


def test_colors_and_flip_averaging_are_those_asked_for(monkeypatch, model, album, tmp_path):
    arguments = ("--short-side", 56, "--colors", "gray", "--flip-averaging")
    call(monkeypatch, "predict", album / "a.png", "--model", model, "-o", tmp_path / "out", *arguments)
    colored = np.asarray(Image.open(tmp_path / "out" / "a.png.color.png")).astype(int)
    gray = np.asarray(Image.open(tmp_path / "out" / "a.png.png")) / 257
    assert (colored == colored[:, :, :1]).all()
    assert np.abs(colored[:, :, 0] - gray).max() <= 1
    expected = DepthPredictor(DepthAnything.load(model), 56, flip_averaging=True)(album / "a.png")
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "a.png.npy"), expected)


def test_a_point_cloud_and_the_picture_beside_its_depth(monkeypatch, model, album, tmp_path):
    arguments = ("--short-side", 56, "--side-by-side", "--field-of-view", 60, "--farthest", 5)
    call(monkeypatch, "predict", album / "a.png", "--model", model, "-o", tmp_path / "out", *arguments)
    image = np.asarray(Image.open(album / "a.png").convert("RGB"))
    height, width = image.shape[:2]
    colored = np.asarray(Image.open(tmp_path / "out" / "a.png.color.png"))
    assert colored.shape == (height, 2 * width, 3)
    np.testing.assert_array_equal(colored[:, :width], image)
    header, _, body = (tmp_path / "out" / "a.png.ply").read_bytes().partition(b"end_header\n")
    assert f"element vertex {height * width}\n" in header.decode()
    vertices = np.frombuffer(body, np.uint8).reshape(-1, 15)
    np.testing.assert_array_equal(vertices[:, 12:], image.reshape(-1, 3))
    depth = vertices[:, 8:12].copy().view("<f4")
    assert depth.min() == pytest.approx(1) and depth.max() == pytest.approx(5)


@pytest.mark.parametrize(
    ("side", "option", "value"), [(28, "tile", 28), (56, "preprocessing", "transformers"), (56, "precision", "bf16")]
)
def test_an_option_of_the_predictor_is_used_when_asked_for(monkeypatch, model, album, tmp_path, side, option, value):
    arguments = ("--short-side", side, f"--{option}", value)
    call(monkeypatch, "predict", album / "a.png", "--model", model, "-o", tmp_path / "out", *arguments)
    expected = DepthPredictor(DepthAnything.load(model), side, **{option: value})(album / "a.png")
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "a.png.npy"), expected)


@pytest.fixture
def video(album):
    writer = cv2.VideoWriter(str(album / "walk.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for level in (40, 200):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    return album / "walk.avi"


def test_a_video_becomes_a_video_of_one_scale(monkeypatch, capsys, model, album, video, tmp_path):
    call(monkeypatch, "predict", video, "--model", model, "-o", tmp_path / "out", "--short-side", 56, "--side-by-side")
    written = {"walk.avi.color.mp4", "walk.avi.json"}
    assert {one.name for one in (tmp_path / "out").iterdir() if not one.name.startswith(".")} == written
    shown = list(frames(tmp_path / "out" / "walk.avi.color.mp4"))
    assert [one.shape for one in shown] == [(48, 128, 3)] * 2
    assert abs(shown[1][:, :60].astype(int) - 200).max() < 12
    told = json.loads((tmp_path / "out" / "walk.avi.json").read_text())
    assert (told["frames"], told["unit"]) == (2, "share of the range")
    assert "walk.avi: 2 frames, " in capsys.readouterr().err


def test_every_frame_of_a_video_gets_its_maps_when_asked_for(monkeypatch, model, album, video, tmp_path):
    call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", "--short-side", 56, "--frames")
    written = sorted(one.name for one in (tmp_path / "out" / "walk.avi").iterdir())
    suffixes = (".color.png", ".npy", ".png")
    assert written == [f"{number:06d}{suffix}" for number in (0, 1) for suffix in suffixes]
    for number, image in enumerate(frames(video)):
        expected = DepthPredictor(DepthAnything.load(model), 56)(image)
        found = np.load(tmp_path / "out" / "walk.avi" / f"{number:06d}.npy")
        scale, shift = align_disparity(expected, found)  # every frame at the scale of the clip
        np.testing.assert_allclose(found, expected * scale + shift, rtol=1e-4)
    assert number == 1
    assert (tmp_path / "out" / "a.png.npy").exists()


def test_conditioning_images_of_pictures_and_of_a_clip_at_one_scale(monkeypatch, model, album, video, tmp_path):
    arguments = ("--short-side", 56, "--as", "conditioning", "--resolution", 32, "--frames")
    call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", *arguments)
    one = np.asarray(Image.open(tmp_path / "out" / "a.png.conditioning.png"))
    assert (one.shape, one.dtype) == ((32, 48, 3), np.uint8)
    assert one.max() > 230 and one.min() < 50  # shrinking takes means
    assert [each.shape for each in frames(tmp_path / "out" / "walk.avi.conditioning.mp4")] == [(32, 40, 3)] * 2
    stills = [np.asarray(Image.open(tmp_path / "out" / "walk.avi" / f"00000{n}.conditioning.png")) for n in (0, 1)]
    shown = list(frames(tmp_path / "out" / "walk.avi.conditioning.mp4"))
    for still, frame in zip(stills, shown):
        assert np.abs(still.astype(int) - frame).mean() < 8  # the video is compressed


def test_a_model_of_transformers_predicts_too(monkeypatch, album, tmp_path):
    from tests.depth_model.comparison.test_adapters import tiny_dpt

    tiny_dpt(tmp_path / "midas")
    arguments = ("--model", tmp_path / "midas", "-o", tmp_path / "out", "--as", "conditioning", "--resolution", 40)
    call(monkeypatch, "predict", album / "a.png", *arguments)
    assert np.asarray(Image.open(tmp_path / "out" / "a.png.conditioning.png")).shape == (40, 64, 3)


def test_a_broken_video_is_named_and_the_others_are_done(monkeypatch, capsys, model, album, tmp_path):
    (album / "0.mp4").write_bytes(b"no video")
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", "--short-side", 56)
    assert ended.value.code == 1
    assert "0.mp4: not a video in a known container" in capsys.readouterr().err
    assert (tmp_path / "out" / "a.png.npy").exists()


def test_a_pattern_stands_for_the_files_it_matches(monkeypatch, model, album, tmp_path):
    (album / "c[1].png").write_bytes((album / "a.png").read_bytes())
    arguments = ("--model", model, "-o", tmp_path / "out", "--short-side", 56)
    call(monkeypatch, "predict", album / "**" / "[ab].png", album / "c[1].png", *arguments)
    assert {one.name for one in (tmp_path / "out").glob("*.npy")} == {"a.png.npy", "b.png.npy", "c[1].png.npy"}


def test_an_impossible_field_of_view_is_refused_at_the_start(monkeypatch, capsys, model, album, tmp_path):
    with pytest.raises(SystemExit):
        call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", "--field-of-view", 180)
    assert "180: must be above 0 and below 180" in capsys.readouterr().err


def test_an_unknown_color_map_is_refused_with_those_that_are_near(monkeypatch, capsys, model, album, tmp_path):
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", "--colors", "virids")
    assert ended.value.code == 2
    assert "viridis" in capsys.readouterr().err


def test_a_bad_picture_is_named_and_the_others_are_done(monkeypatch, capsys, model, album, tmp_path):
    (album / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", "--short-side", 56)
    assert ended.value.code == 1
    assert "broken.jpg" in capsys.readouterr().err
    assert (tmp_path / "out" / "deep" / "b.png.npy").exists()


def test_a_thin_picture_and_a_failing_one_do_not_keep_the_others(monkeypatch, capsys, model, album, tmp_path):
    for name, shape in (("0.png", (2, 1200, 3)), ("1.png", (1200, 2, 3)), ("2.png", (1, 1, 3)), ("z.png", (30, 30, 3))):
        Image.fromarray(np.zeros(shape, np.uint8)).save(album / name)
    whole = DepthPredictor.network_disparity

    def failing(self, images):
        if images[0].shape[0] == 30:
            raise RuntimeError("not enough memory")
        return whole(self, images)

    monkeypatch.setattr(DepthPredictor, "network_disparity", failing)
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", "--short-side", 28)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "z.png: RuntimeError: not enough memory" in said and "1 of 6 files failed\n" in said
    assert np.load(tmp_path / "out" / "0.png.npy").shape == (2, 1200)
    assert len(list((tmp_path / "out").rglob("*.npy"))) == 5


def test_the_decode_budget_is_an_option_and_is_named(monkeypatch, capsys, model, album, tmp_path):
    arguments = ("predict", album, "--model", model, "-o", tmp_path / "out", "--short-side", 28, "--decode-budget")
    with pytest.raises(SystemExit):
        call(monkeypatch, *arguments, "5kB")
    assert "60 x 40 pixels are too large: 7200 bytes decoded, --decode-budget is 5000" in capsys.readouterr().err
    call(monkeypatch, *arguments, "7.2kB")
    with pytest.raises(SystemExit):
        call(monkeypatch, *arguments, "much")
    assert "'much' is no size" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody who may not read a folder")
def test_a_folder_that_cannot_be_read_is_one_line(repository, tmp_path):
    closed = tmp_path / "album" / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0)
    script = (
        f"import os, sys; sys.path.insert(0, {str(repository)!r})\n"
        "from depth_model.shown import run_command; from tasks.commands.inputs import inputs\n"
        f"os.chdir({str(tmp_path)!r}); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "run_command(lambda: inputs(['album']))"
    )
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != folder.parent:
            folder.chmod(folder.stat().st_mode | 0o011)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: album/closed: a folder that cannot be read: Permission denied\n",
    )


def test_a_prediction_that_is_not_finite_is_no_file(monkeypatch, capsys, album, tmp_path):
    model = DepthAnything("tiny", seed=1)
    with torch.no_grad():
        next(model.decoder.parameters()).fill_(3e38)
    model.save(tmp_path / "overflows")
    with pytest.raises(SystemExit):
        call(monkeypatch, "predict", album / "a.png", "--model", tmp_path / "overflows", "-o", tmp_path / "out")
    assert "a.png: what the model says of it is not finite" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.npy"))


def test_what_a_folder_holds_is_read_or_told(capsys, album, tmp_path):
    shutil.copytree(album, tmp_path / "elsewhere")
    (album / "linked").symlink_to(tmp_path / "elsewhere")
    (album / "again").symlink_to(album)
    (album / "gone.png").symlink_to("nowhere.png")
    for name in ("notes.txt", "deep/raw.dng", "LICENSE", ".hidden.png"):
        (album / name).touch()
    found = inputs([str(album)])
    assert [str(place) for place in found] == ["a.png", "deep/b.png", "linked/a.png", "linked/deep/b.png"]
    told = capsys.readouterr().err
    assert "album/gone.png: a dangling link" in told and "album/again: a link to a folder that is read" in told
    assert "no suffix of a picture or video: 1 of no suffix, 1 of .dng, 1 of .txt" in told and "hidden" not in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["predict", "nowhere.jpg", "--model", "m", "-o", "out"], "nowhere.jpg: there is no such file"),
        (["predict", "{album}", "--model", "nowhere", "-o", "out"], "--model nowhere: there is no such"),
        (["predict", "{album}", "--model", "{album}", "-o", "out"], "--model"),
    ],
)
def test_what_is_not_there_is_one_line(monkeypatch, capsys, album, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, *(one.format(album=album) for one in arguments))
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_short_side_off_the_grid_is_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "predict", "a.jpg", "--model", "m", "-o", "out", "--short-side", "100")
    assert ended.value.code == 2
    assert "multiple of 14" in capsys.readouterr().err


def test_two_pictures_of_one_name_do_not_overwrite_each_other(monkeypatch, capsys, model, album, tmp_path):
    shutil.copy(album / "a.png", album / "deep" / "a.png")
    both = album / "a.png", album / "deep" / "a.png"
    with pytest.raises(SystemExit):
        call(monkeypatch, "predict", *both, "--model", model, "-o", tmp_path / "out")
    assert "would both be written to a.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", "--short-side", 56)
    assert len(list((tmp_path / "out").rglob("*.npy"))) == 3


@pytest.fixture
def champion(monkeypatch, tmp_path, model, repository):
    """A project whose registry holds `model` as the champion; the current folder is in it."""
    project = tmp_path / "project"
    shutil.copytree(model, project / "models" / "student")
    parameters = presets.content(repository / "presets" / "demo.yaml")
    (project / "params.yaml").write_text(yaml.safe_dump(parameters))
    for name in ("DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.chdir(project)
    workplace = Workplace(Entry("train_student"), "f" * 64, project / ".work")
    workplace.scratch.mkdir(parents=True)
    with mlflow_runs.stage_run(workplace) as run:
        registry.register_model("depth-anything-student", Path("models/student"), run)
    champions.promote({"mean": {"student": {"abs_rel": 0.2}}}, "a" * 64, {"student": champions.Evidence()})
    return "models:/depth-anything-student@champion"


def test_a_model_of_the_registry_is_that_of_its_folder(monkeypatch, capsys, model, album, tmp_path, champion):
    for name, out in ((champion, "registered"), (model, "folder")):
        call(monkeypatch, "predict", album, "--model", name, "-o", tmp_path / out, "--short-side", 56)
    for workplace in ("a.png.npy", "deep/b.png.npy"):
        assert (tmp_path / "registered" / workplace).read_bytes() == (tmp_path / "folder" / workplace).read_bytes()
    with pytest.raises(SystemExit):
        call(monkeypatch, "predict", album, "--model", "models:/depth-anything-student@nobody", "-o", tmp_path / "x")
    assert "alias nobody not found" in capsys.readouterr().err


def test_outside_a_project_no_registry_is_made(monkeypatch, capsys, album, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        call(monkeypatch, "predict", album, "--model", "models:/any@champion", "-o", tmp_path / "out")
    assert "there is no registry at" in capsys.readouterr().err
    assert not list(tmp_path.glob("mlflow.db*"))


def test_a_metric_model_writes_meters_millimeters_and_a_cloud_of_the_camera(monkeypatch, tmp_path, metric_model, album):
    picture, out = album / "a.png", tmp_path / "out"
    call(monkeypatch, "predict", picture, "--model", metric_model, "-o", out, "--intrinsics", 50, 50, 29.5, 19.5)
    meters = np.load(out / "a.png.npy")
    np.testing.assert_array_equal(meters, MetricPredictor(MetricDepth.load(metric_model))(picture))
    millimeters = np.asarray(Image.open(out / "a.png.png"))
    assert millimeters.dtype == np.uint16
    assert abs(millimeters / 1000 - meters).max() <= 0.0005 + 1e-6
    body = (out / "a.png.ply").read_bytes().partition(b"end_header\n")[2]
    first = np.frombuffer(body[:12], "<f4")
    np.testing.assert_allclose(first, meters[0, 0] * np.array([-29.5 / 50, -19.5 / 50, 1]), rtol=1e-5)


def test_a_released_metric_file_needs_its_range_and_takes_no_tiles(monkeypatch, tmp_path, capsys, metric_model, album):
    released = tmp_path / "indoor.pt"
    MetricDepth.load(metric_model).export_released(tmp_path / "ours.pt")
    torch.save({"model": torch.load(tmp_path / "ours.pt", weights_only=True)["model"]}, released)
    with pytest.raises(SystemExit):
        call(monkeypatch, "predict", album / "a.png", "--model", released, "-o", tmp_path / "out")
    assert "--maximum" in capsys.readouterr().err
    call(monkeypatch, "predict", album / "a.png", "--model", released, "-o", tmp_path / "out", "--maximum", 10)
    assert (tmp_path / "out" / "a.png.npy").exists()
    with pytest.raises(SystemExit):
        call(monkeypatch, "predict", album / "a.png", "--model", metric_model, "-o", tmp_path / "out", "--tile", 100)
    assert "relative models" in capsys.readouterr().err
