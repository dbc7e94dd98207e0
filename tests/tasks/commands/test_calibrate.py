"""`depth-anything calibrate` and what predict makes of it, on depth that follows from a model's own disparity."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from depth_model.networks import DepthAnything
from depth_model.prediction.predictor import DepthPredictor
from tasks.commands import main

SCALE, SHIFT, SIDE = 0.5, 0.1, 56


@pytest.fixture
def call(monkeypatch):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["depth-anything", *map(str, arguments)])
        main.main()

    return run


@pytest.fixture
def model(tmp_path):
    DepthAnything("tiny", seed=1).save(tmp_path / "model")
    return tmp_path / "model"


def truth(model, picture):
    values = DepthPredictor(DepthAnything.load(model), SIDE)(picture).astype(np.float64)
    return 1 / (SCALE * values / np.median(values) + SHIFT), SCALE / np.median(values)


@pytest.fixture
def walk(tmp_path, model):
    """Four pictures and their depth in tenths of a millimeter; the scale differs a little from one to the next."""
    generator = np.random.default_rng(0)
    for number in range(4):
        coarse = generator.integers(0, 256, (5, 7, 3), np.uint8)
        picture = np.asarray(Image.fromarray(coarse).resize((60, 40), Image.Resampling.BICUBIC))
        depth = truth(model, picture)[0] * 1e4
        depth[:4] = 0
        for name, image in (("rgb", picture), ("depth", np.rint(depth).astype(np.uint16))):
            (tmp_path / "walk" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "walk" / name / f"{number}.png")
    return tmp_path / "walk"


PATTERNS = ("--color", "rgb/*.png", "--depth", "depth/*.png", "--unit", 10000, "--short-side", SIDE)


def test_meters_of_a_calibrated_model(call, capsys, model, walk, tmp_path):
    call("calibrate", model, "--images", walk, *PATTERNS, "-o", tmp_path / "calibrated", "--focal", 50)
    told = capsys.readouterr()
    assert "better than one depth for all pixels on" in told.out and "held-out images, AbsRel" in told.out
    assert told.err.count("when held out") == 4
    stored = json.loads((tmp_path / "calibrated/calibration.json").read_text())
    assert (stored["space"], stored["images"], stored["focal"]) == ("disparity", 4, 1.25)
    predict = ("predict", walk / "rgb/1.png", "--model", tmp_path / "calibrated", "--short-side", SIDE)
    call(*predict, "-o", tmp_path / "meters")
    assert "--no-calibration leaves it out" in capsys.readouterr().err
    meters = np.load(tmp_path / "meters/1.png.npy")
    depth = np.asarray(Image.open(walk / "depth/1.png"))[4:] / 1e4
    assert np.mean(np.abs(meters[4:] - depth) / depth) == pytest.approx(stored["abs_rel"], abs=0.1)
    call(*predict, "-o", tmp_path / "zoomed", "--focal", 100)
    np.testing.assert_allclose(np.load(tmp_path / "zoomed/1.png.npy"), 2 * meters, rtol=1e-6)
    call(*predict, "-o", tmp_path / "plain", "--no-calibration")
    expected = DepthPredictor(DepthAnything.load(model), SIDE)(walk / "rgb/1.png")
    np.testing.assert_array_equal(np.load(tmp_path / "plain/1.png.npy"), expected)


def test_a_few_points_do_as_well(call, capsys, model, walk, tmp_path):
    lines = ["image,x,y,meters"]
    for number in range(4):
        depth, _ = truth(model, walk / f"rgb/{number}.png")
        lines += [f"rgb/{number}.png,{x},{y},{depth[y, x]:.4f}" for x in (3, 20, 41, 55) for y in (6, 18, 37)]
    (tmp_path / "points.csv").write_text("\n".join(lines), encoding="utf-16")  # as a spreadsheet may save it
    more = ("--points", tmp_path / "points.csv", "--short-side", SIDE)
    call("calibrate", model, "--images", walk, *more, "-o", tmp_path / "out")
    assert "12 measurements" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--color", "rgb/*.png"), "by --color and --depth, or by --points"),
        (("--points", "{walk}/none.csv"), "--points"),
        (("--points", "{walk}/bad.csv"), "line 3: -1.0 meters"),
        (("--points", "{walk}/outside.csv"), "lies outside its 60 x 40 pixels"),
        (("--points", "{walk}/edge.csv"), "lies outside its 60 x 40 pixels"),
    ],
)
def test_what_cannot_be_used_is_one_line(call, capsys, model, walk, tmp_path, arguments, said):
    (walk / "bad.csv").write_text("image,x,y,meters\nrgb/0.png,1,1,2\nrgb/0.png,1,1,-1\n")
    (walk / "edge.csv").write_text("image,x,y,meters\nrgb/0.png,59.5,1,2\n")
    (walk / "outside.csv").write_text("image,x,y,meters\nrgb/0.png,60,1,2\n")
    with pytest.raises(SystemExit):
        named = [str(one).format(walk=walk) for one in arguments]
        call("calibrate", model, "--images", walk, *named, "--short-side", SIDE, "-o", tmp_path / "out")
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_what_does_not_help_is_not_kept(call, capsys, model, walk, tmp_path):
    generator = np.random.default_rng(0)
    for path in (walk / "depth").iterdir():
        Image.fromarray(generator.integers(9000, 11000, (40, 60)).astype(np.uint16)).save(path)
    with pytest.raises(SystemExit):
        call("calibrate", model, "--images", walk, *PATTERNS, "-o", tmp_path / "out")
    error = capsys.readouterr().err
    assert "not kept: " in error or "do not belong together" in error
    assert not (tmp_path / "out").exists()
