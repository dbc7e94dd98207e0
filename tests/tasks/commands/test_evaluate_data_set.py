"""`depth-anything evaluate` on a data set, against the figures computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from depth_model.networks import DepthAnything
from depth_model.prediction.predictor import DepthPredictor
from tests.tasks.commands.calling import call


@pytest.fixture
def pairs(tmp_path):
    """Three pictures with depth in millimeters of 0.5 to 30 m, and a fourth whose depth has another size."""
    generator = np.random.default_rng(0)
    for number in range(4):
        shape = (40, 60) if number < 3 else (20, 30)
        depth = generator.integers(500, 30000, shape).astype(np.uint16)
        depth[generator.random(shape) < 0.3] = 0
        pixels = generator.integers(0, 256, (40, 60, 3), np.uint8)
        for name, image in (("rgb", pixels), ("depth", depth)):
            (tmp_path / "pairs" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "pairs" / name / f"{number}.png")
    return tmp_path / "pairs"


def on_pairs(pairs, model, *more):
    options = ["--options", "color=rgb/*.png", "depth=depth/*.png", "unit=1000"]
    data = ["--reader", "rgbd_folder", "--root", pairs, *options]
    return ["evaluate", "-o", pairs.parent / "out", "--model", model, "--short-side", 56, *data, *more]


def slow_abs_rel(pairs, model, maximum):
    predictor = DepthPredictor(DepthAnything.load(model), 56)
    errors = []
    for number in range(3):
        depth = np.asarray(Image.open(pairs / "depth" / f"{number}.png")) / 1000
        valid = (depth > 1e-3) & (depth < maximum)
        prediction = predictor(pairs / "rgb" / f"{number}.png").astype(np.float64)[valid]
        matrix = np.stack([prediction, np.ones_like(prediction)], 1)
        aligned = matrix @ np.linalg.lstsq(matrix, 1 / depth[valid], rcond=None)[0]
        estimate = 1 / np.clip(aligned, 1 / maximum, None)
        errors.append(np.mean(np.abs(estimate - depth[valid]) / depth[valid]))
    return np.mean(errors)


@pytest.mark.parametrize("maximum", [80, 10])
def test_a_data_set_is_measured_as_by_hand(monkeypatch, capsys, model, pairs, maximum):
    call(monkeypatch, *on_pairs(pairs, model, "--maximum", maximum))
    told = capsys.readouterr()
    head, measured, constant, images, *intervals = told.out.splitlines()
    assert measured.split()[:2] == ["model", f"{slow_abs_rel(pairs, model, maximum):.4f}"]
    assert head.split()[:2] == ["abs_rel", "delta1"]
    assert constant.startswith("constant ")
    assert images.startswith("mean over 3 images, generic")
    assert "not measured: 3: " in told.err
    assert [one.split(": ")[0] for one in intervals] == ["model", "model", "constant"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reader", "rgbd_foldr"], "did you mean 'rgbd_folder'"),
        (["--reader", "scikit_image", "--options", "subset=motorcycle", "color=1"], "color: Unexpected keyword"),
        (["--reader", "image_folder", "--root", "nowhere"], "--root nowhere: there is no such folder"),
        (["--reader", "image_folder", "--root", "{album}"], "no image could be measured: no ground truth (2 of 2)"),
        (["--reader", "scikit_image", "--minimum", "9", "--maximum", "2"], "--minimum 9 must be less than --maximum 2"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(monkeypatch, capsys, model, album, arguments, said):
    with pytest.raises(SystemExit) as ended:
        named = [one.format(album=album) for one in arguments]
        call(monkeypatch, "evaluate", "-o", album.parent / "out", "--model", model, *named)
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
