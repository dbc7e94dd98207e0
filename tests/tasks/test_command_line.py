"""`depth-anything predict` as a user calls it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from depth_model.inference import DepthPredictor
from depth_model.networks import DepthAnything
from tasks import command_line


@pytest.fixture
def model(tmp_path):
    DepthAnything("tiny", seed=1).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def album(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for name in ("a.png", "deep/b.png"):
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "album" / name)
    return tmp_path / "album"


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["depth-anything", *map(str, arguments)])
    command_line.main()


def test_a_folder_becomes_maps_that_agree(monkeypatch, model, album, tmp_path):
    call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", "--short-side", 56)
    disparity = np.load(tmp_path / "out" / "deep" / "b.png.npy")
    expected = DepthPredictor(DepthAnything.load(model), 56)(album / "a.png")
    np.testing.assert_array_equal(disparity, expected)
    grey = np.asarray(Image.open(tmp_path / "out" / "a.png.png"))
    assert grey.dtype == np.uint16
    low, high = expected.min(), expected.max()
    np.testing.assert_allclose(grey / 65535, (expected - low) / (high - low), atol=1e-4)
    assert Image.open(tmp_path / "out" / "a.png.color.png").mode == "RGB"


def test_a_bad_picture_is_named_and_the_others_are_done(monkeypatch, capsys, model, album, tmp_path):
    (album / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "predict", album, "--model", model, "-o", tmp_path / "out", "--short-side", 56)
    assert ended.value.code == 1
    assert "broken.jpg" in capsys.readouterr().err
    assert (tmp_path / "out" / "deep" / "b.png.npy").exists()


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
