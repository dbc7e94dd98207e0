"""`depth-anything evaluate --set` as a user calls it: on real samples of KITTI, NYUv2 and DDAD, and on written sets."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks import DepthAnything
from tasks.commands import main

FOLDERS = {"kitti": "kitti", "nyu": "nyu_depth_v2/sync", "ddad": "ddad_dgp"}
OPTIONS = {"kitti": [], "nyu": ["split=null"], "ddad": ["split=null"]}
COUNTS = {"kitti": 2, "nyu": 2, "ddad": 3}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    DepthAnything("tiny", seed=1).save(folder / "one")
    DepthAnything("tiny", seed=2).save(folder / "two")
    MetricDepth(DepthAnything("tiny", seed=1), "bins", 80.0).save(folder / "metric")
    return folder


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["depth-anything", "evaluate", *map(str, arguments)])
    main.main()


def on(samples, name, out):
    options = ["--options", *OPTIONS[name]] if OPTIONS[name] else []
    return ["--set", name, "--root", samples / FOLDERS[name], *options, "--short-side", 56, "-o", out]


@pytest.mark.parametrize("name", ["kitti", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nyu", "ddad"))])
def test_two_models_are_compared_by_the_protocol_of_a_set(monkeypatch, capsys, samples, models, tmp_path, name):
    pictures = [] if name == "kitti" else ["--no-pictures"]
    call(monkeypatch, *on(samples, name, tmp_path), "--model", models / "one", "--model", models / "two", *pictures)
    told = capsys.readouterr()
    folder = tmp_path / name / "paper"
    summary = json.loads((folder / "summary.json").read_text())
    table = pd.read_parquet(folder / "per_image.parquet")
    assert list(table["model"]) == ["one", "two", "constant"] * COUNTS[name]
    assert summary["models"]["one"]["abs_rel"] == pytest.approx(table[table["model"] == "one"]["abs_rel"].mean())
    difference = summary["models"]["two"]["abs_rel"] - summary["models"]["one"]["abs_rel"]
    assert summary["differences"]["two - one"]["abs_rel"]["mean"] == pytest.approx(difference)
    assert f"mean over {COUNTS[name]} images, {name}/paper" in told.out
    assert "two - one: AbsRel" in told.out
    assert f"these are {COUNTS[name]}" in told.err  # not the split of the paper, and it says so
    if name == "kitti":
        assert {"examples.png", "worst-one.png", "worst-two.png"} <= {one.name for one in folder.glob("*.png")}


def test_the_crop_of_the_benchmark_is_cut_before_the_network_sees_the_image(monkeypatch, samples, models, tmp_path):
    arguments = [*on(samples, "kitti", tmp_path), "--model", models / "one", "--no-pictures"]
    call(monkeypatch, *arguments)
    call(monkeypatch, *arguments, "--change", "image_crop=none", "crop=none")
    cropped, whole = (json.loads(path.read_text()) for path in sorted(tmp_path.rglob("summary.json")))
    assert cropped["protocol"]["name"] == "kitti/paper"
    assert whole["protocol"]["name"] == "kitti/paper+image_crop=none+crop=none"
    assert cropped["models"]["one"] != whole["models"]["one"]


def test_metric_depth_has_nine_metrics_and_no_constant(monkeypatch, samples, models, tmp_path):
    small = ["--change", "network_size=[28, 84]", "--no-pictures"]
    call(monkeypatch, *on(samples, "kitti", tmp_path), "--metric", *small, "--model", models / "metric")
    (path,) = tmp_path.rglob("summary.json")
    summary = json.loads(path.read_text())
    assert summary["protocol"]["network_size"] == [28, 84]
    assert summary["protocol"]["flip_averaging"] and summary["protocol"]["align_corners"]
    assert list(summary["models"]) == ["metric"]
    assert len(summary["models"]["metric"]) == 9


def test_stored_disparity_is_measured_as_the_model_that_made_it(monkeypatch, samples, models, tmp_path):
    arguments = [*on(samples, "nyu", tmp_path), "--protocol", "full-frame", "--no-pictures"]
    call(monkeypatch, *arguments, "--model", models / "one")
    before = json.loads((tmp_path / "nyu" / "full-frame" / "summary.json").read_text())["models"]["one"]
    from depth_model.prediction.predictor import DepthPredictor

    predictor = DepthPredictor(DepthAnything.load(models / "one"), 56)
    keys = pd.read_parquet(tmp_path / "nyu" / "full-frame" / "per_image.parquet")["key"].unique()
    pictures = {path.stem: path for path in (samples / FOLDERS["nyu"]).rglob("*.jpg")}
    for key in keys:
        (tmp_path / "maps" / key).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "maps" / f"{key}.npy", predictor(pictures[key.rpartition("/")[2]]))
    call(monkeypatch, *arguments, "--model", f"stored={tmp_path / 'maps'}", "--predictions", "disparity")
    after = json.loads((tmp_path / "nyu" / "full-frame" / "summary.json").read_text())["models"]["stored"]
    assert after == pytest.approx(before, rel=1e-6)


@pytest.mark.slow
def test_patterns_need_no_quotes_of_yaml_and_processes_may_be_several(monkeypatch, capsys, samples, models, tmp_path):
    data = ["--reader", "rgbd_folder", "--root", samples / FOLDERS["nyu"]]
    patterns = ["--options", "color=*/rgb_*.jpg", "depth=*/sync_depth_*.png", "unit=1000"]
    how = ["--short-side", 56, "--no-pictures", "-o", tmp_path]
    call(monkeypatch, "--model", models / "one", *data, *patterns, *how, "--processes", 2)
    assert "mean over 2 images, generic" in capsys.readouterr().out
    call(monkeypatch, "--metric", "--model", models / "metric", *data, *patterns, *how)
    assert "mean over 2 images, generic-metric" in capsys.readouterr().out
    summary = json.loads((tmp_path / "rgbd_folder" / "generic-metric" / "summary.json").read_text())
    assert (list(summary["models"]), summary["failures"]) == (["metric"], {"metric": 0})


SET = ["--reader", "rgbd_folder", "--root", "set", "--options", "color=rgb/*", "depth=depth/*.png", "unit=1000"]
DEPTH = 1 + np.linspace(0, 4, 40 * 60).reshape(40, 60).astype(np.float32)
DISPARITY = 1 / DEPTH
SHARE = (DISPARITY - DISPARITY.min()) / np.ptp(DISPARITY)
NOT_A_NUMBER = np.where(DEPTH < 1.2, np.nan, DISPARITY)


@pytest.fixture
def ramps(tmp_path, monkeypatch):
    """Makes predictions of three pictures of a ramp in a folder `p`; two pictures have names of their own."""
    monkeypatch.chdir(tmp_path)
    for name in ("0.png", "1.JPG", "two words.tiff"):
        for folder, values in (("rgb", np.full((40, 60, 3), 80, np.uint8)), ("depth", np.rint(DEPTH * 1000))):
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "set" / folder / (name if folder == "rgb" else f"{name}.png")
            Image.fromarray(values.astype(np.uint8 if folder == "rgb" else np.uint16)).save(path)
    names = ("rgb/0.png", "1.JPG", "two words.tiff")  # as predict calls them, of the set and of its folder of pictures

    def made(values):
        for name in names:
            path = tmp_path / "p" / (name + (".npy" if values.dtype.kind == "f" else ".png"))
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, values) if path.suffix == ".npy" else Image.fromarray(values).save(path)

    return made


@pytest.mark.parametrize(
    ("space", "values", "arguments"),
    [
        ("disparity", 7 * DISPARITY - 3, []),
        ("disparity", DISPARITY.astype(np.float16), []),
        ("disparity", DISPARITY[None], []),
        ("disparity", np.rint(SHARE * 255).astype(np.uint8), []),
        ("disparity", np.rint(SHARE * 65535).astype(np.uint16), []),
        ("depth", DEPTH, []),
        ("depth", DEPTH / 10 + 3, ["--change", "alignment=depth"]),
        ("metric_depth", DEPTH, ["--metric"]),
        ("metric_depth", np.rint(DEPTH * 1000).astype(np.uint16), ["--metric", "--unit", 1000]),
    ],
)
def test_right_predictions_made_elsewhere_have_no_error(monkeypatch, capsys, ramps, space, values, arguments):
    ramps(values)
    call(monkeypatch, "--model", "p", "--predictions", space, *SET, *arguments, "--no-pictures")
    head, row, *others = capsys.readouterr().out.splitlines()
    assert (head.split()[0], head.split()[-1]) == ("abs_rel", "failed")
    assert (float(row.split()[1]), row.split()[-1]) == (pytest.approx(0, abs=0.006), "0")
    assert not any("looks" in line for line in others)


@pytest.mark.parametrize(
    ("space", "values", "arguments", "said"),
    [
        ("disparity", -DISPARITY, [], "looks inverted"),
        ("disparity", DEPTH, [], "looks inverted"),
        ("metric_depth", np.rint(DEPTH * 1000).astype(np.uint16), ["--metric"], "looks like millimeters"),
        ("disparity", NOT_A_NUMBER, [], "no image could be measured for p: the prediction is not finite (3 of 3)"),
        ("metric_depth", np.rint(SHARE * 65535).astype(np.uint16), ["--metric"], "scaled to its own range"),
        ("depth", np.where(DEPTH < 1.1, 0, DEPTH), [], "the prediction is not positive"),
        ("disparity", np.zeros((40, 60, 3), np.uint8), [], "not one number per pixel"),
    ],
)
def test_predictions_that_are_not_what_was_said_are_told(monkeypatch, capsys, ramps, space, values, arguments, said):
    ramps(values)
    whole = ["--model", "p", "--predictions", space, *SET, *arguments, "--no-pictures"]
    if said.startswith("looks"):
        call(monkeypatch, *whole)
        assert f"p: the prediction {said}" in capsys.readouterr().out
        return
    with pytest.raises(SystemExit):
        call(monkeypatch, *whole)
    assert said in capsys.readouterr().err


def test_an_end_of_a_path_that_two_images_have_names_none(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for folder in ("a/rgb", "a/depth", "b/rgb", "b/depth"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        values = np.full((40, 60, 3), 80, np.uint8) if "rgb" in folder else np.rint(DEPTH * 1000).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / "set" / folder / "0.png")
    (tmp_path / "p").mkdir()
    np.save(tmp_path / "p" / "0.png.npy", DISPARITY)
    options = ["--reader", "rgbd_folder", "--root", "set", "--options", "color=*/rgb/*.png", "depth=*/depth/*.png"]
    with pytest.raises(SystemExit):
        call(monkeypatch, "--model", "p", "--predictions", "disparity", *options, "unit=1000")
    assert "no prediction a/0.npy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "kitty"], "no protocols of a set 'kitty'"),
        (["--set", "kitti", "--protocol", "mariogld"], "there are: paper"),
        (["--set", "kitti", "--reader", "rgbd_folder"], "one of --set"),
        (["--set", "kitti", "--protocol", "paper", "--metric"], "not for metric depth"),
        (["--set", "nyu", "--metric"], "measures meters; this model predicts disparity"),
        (["--set", "nyu", "--change", "corp=none"], "no such key"),
        (["--set", "nyu", "--change", "crop=5"], "the same kind of value"),
        (["--set", "nyu", "--model", "{models}/one"], "another model is called 'one'"),
        (["--set", "nyu", "--list", "nothing.txt"], "there is no such file"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(monkeypatch, capsys, samples, models, tmp_path, arguments, said):
    named = [one.format(models=models) for one in arguments]
    root = ["--root", samples / FOLDERS["nyu"], "--options", "split=null", "-o", tmp_path]
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "--model", models / "one", *named, *root)
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_calibration_names_what_it_wants(monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit):
        call(monkeypatch, "--calibrate", "--checkpoints", tmp_path, "--root", tmp_path)
    error = capsys.readouterr().err
    for wanted in ("depth_anything_vitl14.pth", "dpt-beit-large-512", "eth3d: the set in its official layout"):
        assert wanted in error


def test_calibration_prints_every_variant_beside_table_2(monkeypatch, capsys, samples, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "kitti").symlink_to(samples / "kitti")
    torch.save(DepthAnything("tiny", seed=1).official_state(), tmp_path / "models" / "depth_anything_vits14.pth")
    out = tmp_path / "out"
    arguments = ["--checkpoints", tmp_path / "models", "--root", tmp_path / "sets", "--short-side", 56, "-o", out]
    call(monkeypatch, "--calibrate", *arguments)
    told = capsys.readouterr()
    lines = [line.split() for line in told.out.splitlines()]
    variants = ["paper", "full-frame", "midas", "marigold", "video-depth-anything", "moge"]
    assert [line[0] for line in lines] == ["kitti", *variants, "best:"]
    figures = json.loads((out / "calibration.json").read_text())["kitti"]
    for line in lines[1:-1]:
        assert line[3::2] == ["0.080", "0.936"]  # Table 2, ViT-S
        assert float(line[2]) == pytest.approx(figures[line[0]]["vits"]["abs_rel"], abs=1e-4)
    measured = {name: one["vits"] for name, one in figures.items()}
    gaps = {name: abs(one["abs_rel"] - 0.08) + abs(one["delta1"] - 0.936) for name, one in measured.items()}
    assert lines[-1][1] == min(gaps, key=gaps.get) + ","
    assert "depth_anything_vitb14.pth" in told.err and "nyu: the set" in told.err
    lines = [json.loads(line) for line in (out / "claims.jsonl").read_text().splitlines()]
    assert [(one["variant"], one["values"]) for one in lines] == [
        (name, {metric: one[metric] for metric in ("abs_rel", "delta1")}) for name, one in measured.items()
    ]
    assert {(one["table"], one["row"], one["set"], one["images"]) for one in lines} == {
        ("2", "Depth Anything ViT-S", "kitti", 2)
    }
    assert lines[0]["command"].startswith("depth-anything evaluate --calibrate")


@pytest.mark.slow
def test_calibration_measures_meters_beside_table_4(monkeypatch, capsys, samples, tmp_path):
    for name in ("models", "sets"):
        (tmp_path / name).mkdir()
    (tmp_path / "sets" / "kitti").symlink_to(samples / "kitti")
    model = MetricDepth(DepthAnything("tiny", seed=1), "bins", 80.0)
    model.export_released(tmp_path / "models" / "depth_anything_metric_depth_outdoor.pt")
    arguments = ["--checkpoints", tmp_path / "models", "--root", tmp_path / "sets", "--short-side", 56, "-o", tmp_path]
    call(monkeypatch, "--calibrate", *arguments)
    lines = [json.loads(line) for line in (tmp_path / "claims.jsonl").read_text().splitlines()]
    assert [one["variant"] for one in lines] == ["zoedepth", "clean", "uncropped"]
    assert {(one["table"], one["row"], one["set"]) for one in lines} == {("4", "Depth Anything", "kitti")}
    assert list(lines[0]["values"]) == sorted(["delta1", "delta2", "delta3", "abs_rel", "rmse", "rmse_log"])
    assert "0.046" in capsys.readouterr().out


def test_pairs_of_points_have_an_accuracy(monkeypatch, capsys, models, tmp_path):
    pixels = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8), (0, 0), 3)
    root = tmp_path / "da2k"
    (root / "indoor").mkdir(parents=True)
    Image.fromarray(pixels).save(root / "indoor" / "a.png")
    pair = {"point1": [5, 3], "point2": [40, 50]}
    common = ["--set", "da2k", "--root", root, "--model", models / "one", "--short-side", 56, "-o", tmp_path / "out"]
    for closer in ("point1", "point2"):
        content = {"indoor/a.png": [pair | {"closer_point": closer}]}
        (root / "annotations.json").write_text(json.dumps(content))
        call(monkeypatch, *common)
    told = [line for line in capsys.readouterr().out.splitlines() if ": all: " in line]
    assert sorted(told) == ["one: all: 0.0% of 1 pairs", "one: all: 100.0% of 1 pairs"]
    shutil.rmtree(root / "indoor")
    with pytest.raises(SystemExit):
        call(monkeypatch, *common)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_lists_of_other_systems_and_names_with_spaces(monkeypatch, capsys, tmp_path, encoding):
    for folder in ("set/rgb", "set/depth", "p/rgb", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    ramp = np.linspace(1, 5, 32 * 32, dtype=np.float32).reshape(32, 32)
    for name in ("küche 1", "küche 2"):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "elsewhere" / f"{name}.png")
        (tmp_path / "set/rgb" / f"{name}.png").symlink_to(tmp_path / "elsewhere" / f"{name}.png")
        np.save(tmp_path / "set/depth" / f"{name}.npy", ramp)
        np.save(tmp_path / "p/rgb" / f"{name}.png.npy", ramp)
    (tmp_path / "list.txt").write_bytes(".\\rgb\\küche 2.png\r\n".encode(encoding))
    options = ["--options", "color=rgb/*.png", "depth=depth/*.npy", "unit=1", "follow_links=true", "--no-pictures"]
    given = ["--reader", "rgbd_folder", "--root", tmp_path / "set", *options, "--list", tmp_path / "list.txt"]
    predictions = ["--model", tmp_path / "p", "--predictions", "depth", "-o", tmp_path / "out"]
    if encoding == "latin-1":
        with pytest.raises(SystemExit):
            call(monkeypatch, *given, *predictions)
        assert "list.txt is not a text file" in capsys.readouterr().err
        return
    call(monkeypatch, *given, *predictions)
    assert "AbsRel 0.0000" in capsys.readouterr().out
    (table,) = (tmp_path / "out").rglob("per_image.parquet")
    assert set(pd.read_parquet(table)["key"].str[-10:-9]) == {"2"}


def test_robustness_is_a_table_of_corruptions_by_model(monkeypatch, capsys, samples, models, tmp_path):
    arguments = [*on(samples, "nyu", tmp_path), "--model", models / "one", "--model", models / "two"]
    call(monkeypatch, *arguments, "--robustness", "night", "fog", "--severities", 1, 5)
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == [
        "AbsRel,",
        "clean",
        "night",
        "fog",
        "corruption",
        "resilience",
        "each",
    ]
    found = json.loads((tmp_path / "nyu" / "paper" / "robustness.json").read_text())
    folder = tmp_path / "nyu" / "paper" / "fog-5"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["protocol"]["corruption"] == "fog" and summary["protocol"]["severity"] == 5
    assert found["by_severity"]["fog"]["5"]["two"]["abs_rel"] == summary["models"]["two"]["abs_rel"]
    assert found["corruption_error"]["one"] == 1
    error = [
        (score["abs_rel"] - score["delta1"] + 1) / 2
        for scores in found["by_severity"].values()
        for score in (scores[severity]["one"] for severity in ("1", "5"))
    ]
    clean = (found["clean"]["one"]["abs_rel"] - found["clean"]["one"]["delta1"] + 1) / 2
    assert found["resilience"]["one"] == pytest.approx((1 - np.mean(error)) / (1 - clean))
    with pytest.raises(SystemExit):
        call(monkeypatch, *arguments, "--robustness", "rain", "--severities", 1)
    assert "--change corruption=rain" in capsys.readouterr().err
