"""`depth-anything convert` as a user calls it."""

from __future__ import annotations

import json
import pickle

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from transformers import DepthAnythingForDepthEstimation

from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks import DepthAnything, build_encoder
from depth_model.semantic.classes import ClassList
from depth_model.semantic.heads.segmentation import Segmentation
from tasks.commands import main

IMAGES = torch.randn(1, 3, 518, 518, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["depth-anything", "convert", *map(str, arguments)])
        main.main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def model(tmp_path):
    model = DepthAnything("tiny", seed=1).eval()
    torch.save(model.official_state(), tmp_path / "depth_anything_vits14.pth")
    return model


def test_an_official_file_becomes_a_folder_that_transformers_loads(call, model, tmp_path):
    call(tmp_path / "depth_anything_vits14.pth", "--to", "folder", "-o", tmp_path / "folder")
    assert json.loads((tmp_path / "folder" / "config.json").read_text())["position_embedding"] == "official"
    theirs = DepthAnythingForDepthEstimation.from_pretrained(tmp_path / "folder").eval()
    with torch.inference_mode():
        torch.testing.assert_close(theirs(IMAGES).predicted_depth, model(IMAGES), rtol=1e-5, atol=1e-5)


def test_a_foreign_transformers_folder_is_exact_and_goes_back_to_an_official_file(call, model, tmp_path):
    model.save(tmp_path / "own")
    config = json.loads((tmp_path / "own" / "config.json").read_text())
    foreign = {name: value for name, value in config.items() if name not in ("size", "position_embedding")}
    (tmp_path / "own" / "config.json").write_text(json.dumps(foreign))
    DepthAnythingForDepthEstimation.from_pretrained(tmp_path / "own").save_pretrained(tmp_path / "foreign")
    assert DepthAnything.load(tmp_path / "foreign").encoder.position_embedding == "exact"
    said = call(tmp_path / "foreign", "--to", "official", "-o", tmp_path / "back.pth")
    assert said.rstrip().endswith("--version v1 (a released name does), --position-embedding exact")
    state = torch.load(tmp_path / "back.pth", weights_only=True)
    for name, value in model.official_state().items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=0)


def test_what_no_official_file_says_is_told(call, tmp_path):
    metric = MetricDepth(DepthAnything("tiny", version="v2"), "sigmoid", 13.5, input_size=126)
    metric.save(tmp_path / "metric")
    said = call(tmp_path / "metric", "--to", "official", "-o", tmp_path / "out.pth")
    assert (
        "--version v2 (a released name does), --maximum 13.5, an input of 126 pixels" in said and "blocks" not in said
    )


def test_what_a_bare_file_cannot_tell_is_asked_for(call, model, tmp_path):
    arguments = ("--blocks", 0, 1, 2, 3, "--position-embedding", "exact")
    call(tmp_path / "depth_anything_vits14.pth", "--to", "folder", "-o", tmp_path / "folder", *arguments)
    loaded = DepthAnything.load(tmp_path / "folder")
    assert loaded.blocks == [0, 1, 2, 3]
    assert loaded.encoder.position_embedding == "exact"


SIZE = ("--size", 56, 84)  # an export to any size takes half a minute


@pytest.mark.slow
def test_graphs_run_without_this_project_and_the_difference_is_printed(call, model, tmp_path):
    printed = call(tmp_path / "depth_anything_vits14.pth", "--to", "onnx", *SIZE, "-o", tmp_path / "model.onnx")
    assert "of the range" in printed
    call(tmp_path / "depth_anything_vits14.pth", "--to", "torch-export", "-o", tmp_path / "model.pt2")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    (found,) = session.run(None, {"images": IMAGES[..., :56, :84].numpy()})
    program = torch.export.load(tmp_path / "model.pt2").module()
    with torch.inference_mode():
        torch.testing.assert_close(program(IMAGES[..., :56, :84]), torch.from_numpy(found), rtol=1e-4, atol=1e-4)


class Evil:
    def __reduce__(self):
        return open, ("executed", "w")


@pytest.mark.parametrize("kind", ["text", "pickle", "missing", "blocks"])
def test_what_is_no_model_is_one_line_and_nothing_is_run(call, model, capsys, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path, more = tmp_path / "input", ()
    if kind == "text":
        path.write_text("no model")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"pretrained.cls_token": Evil()}, protocol=2))
    elif kind == "blocks":
        path, more = tmp_path / "depth_anything_vits14.pth", ("--blocks", 0, 1, 2, 9)
    with pytest.raises(SystemExit) as ended:
        call(path, "--to", "folder", "-o", tmp_path / "out", *more)
    assert ended.value.code == 1
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert path.name in said
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_onnx_file_is_checked_on_the_pictures_of_the_user(call, model, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(tmp_path / "a.png")
    more = ("--to", "onnx", "--size", 42, 70, "--check", tmp_path / "a.png")
    printed = call(tmp_path / "depth_anything_vits14.pth", *more, "-o", tmp_path / "model.onnx")
    assert "of the range (1 pictures)" in printed


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--to", "onnx", "--size", 40, 70), "both must be positive multiples of 14"),
        pytest.param(("--to", "onnx", *SIZE, "--tolerance", 1e-12), "not kept", marks=pytest.mark.slow),
        (("--to", "official", "--opset", 18), "--opset: is not for --to official"),
    ],
)
def test_an_export_that_cannot_be_is_refused(call, model, capsys, tmp_path, more, said):
    with pytest.raises(SystemExit):
        call(tmp_path / "depth_anything_vits14.pth", *more, "-o", tmp_path / "out.onnx")
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()


def test_a_segmentation_model_is_told_what_there_is(call, capsys, tmp_path):
    classes = ClassList("two", ("wall", "door"), ((0, 0, 0), (1, 1, 1)))
    Segmentation(build_encoder("tiny"), classes, "linear", 56).save(tmp_path / "semantic")
    with pytest.raises(SystemExit):
        call(tmp_path / "semantic", "--to", "official", "-o", tmp_path / "out.pth")
    assert "a segmentation one goes to folder, onnx, torch-export" in capsys.readouterr().err
    call(tmp_path / "semantic", "--to", "folder", "-o", tmp_path / "copy")
    assert Segmentation.load(tmp_path / "copy").classes == classes
