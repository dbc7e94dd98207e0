"""`depth-anything train`: typed mistakes and what each says, and the parameters that it writes."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from depth_model.networks import DepthAnything
from depth_model.planning import fitting
from tasks.commands import main
from tasks.settings import params
from tests.tasks.starting import make_project

PAIRS = ("--color", "pairs/rgb/*.png", "--depth", "pairs/depth/*.png")


@pytest.fixture
def project(tmp_path, repository, monkeypatch):
    """A project with the demo's params.yaml, six photographs, and five pairs of 1 to 3 m; the current folder."""
    make_project(tmp_path)
    for name in ("params.yaml", "presets"):
        (shutil.copytree if name == "presets" else shutil.copy)(repository / name, tmp_path / name)
    generator = np.random.default_rng(0)
    for number in range(6):
        picture(tmp_path / "photos" / f"{number}.png", generator.integers(0, 256, (140, 140, 3), np.uint8))
    for number in range(5):
        picture(tmp_path / "pairs/rgb" / f"{number}.png", generator.integers(0, 256, (140, 140, 3), np.uint8))
        picture(
            tmp_path / "pairs/depth" / f"{number}.png", generator.integers(1000, 3001, (140, 140)).astype(np.uint16)
        )
    monkeypatch.chdir(tmp_path)
    speed = {"name": "a test", "source": "given", "milliseconds": {"tiny": 5.0, "vits": 500.0, "vitl": 5000.0}}
    machine = fitting.Machine("a test", speed, 8e9, "fp32", is_gpu=False)
    monkeypatch.setattr(fitting, "this_machine", lambda sizes: machine)
    return tmp_path


def picture(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["depth-anything", "train", *map(str, arguments)])
    main.main()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--images", "photo", *PAIRS), "--images photo: there is no such folder"),
        (("--images", "params.yaml", *PAIRS), "--images params.yaml: is a file, not a folder"),
        (("--images", "empty", *PAIRS), "--images: empty: no image that can be used: it is empty"),
        (("--images", "presets", *PAIRS), "no image that can be used"),
        (("--images", "photos", *PAIRS[:2]), "--color needs --depth"),
        (("--images", "photos", *PAIRS[2:]), "--depth needs --color"),
        (("--images", "photos", "--labels", "pairs"), "--labels pairs: needs --color and --depth"),
        (
            ("--images", "photos", "--labels", "pair", "--color", "*.png", "--depth", "*.png"),
            "--labels pair: there is no",
        ),
        (
            ("--images", "photos", "--color", "pairs/rgb/*.jpg", *PAIRS[2:]),
            "--color 'rgb/*.jpg': nothing in pairs matches",
        ),
        (("--images", "photos", "--color", "rgb/*/*.png", *PAIRS[2:]), "same number of wildcards"),
        (("--images", "photos"), "name one with --teacher MODEL"),
        (("--images", "photos", *PAIRS, "--unit", "0"), "must be a positive number"),
        (("--images", "photos", *PAIRS, "--time", "2x"), "'2x': a number and s, m, h or d"),
        (("--images", "photos", *PAIRS, "--gpu", "T5"), "card 'T5' is unknown: choose one of a100, t4"),
        (("--images", "photos", *PAIRS, "--from", "nowhere"), "--from: nowhere: there is no such file or folder"),
        (("--images", "photos", *PAIRS, "--from", "photos"), "--from photos: no relative Depth Anything to start from"),
        (("--images", "photos", "--teacher", "nowhere"), "--teacher: nowhere: there is no such file or folder"),
        (("--images", "photos", "--teacher", "photos"), "--teacher photos: photos: no model"),
        (("--images", "photos", *PAIRS, "--metric", "0"), "--metric: 0: must be a positive number"),
        (("--images", "photos", "--teacher", "model", "--metric", "10"), "--metric: needs images with depth"),
        (("--images", "photos", *PAIRS, "--from", "model", "--size", "vits"), "the model of --from model is a tiny"),
    ],
)
def test_a_typed_mistake_is_said_before_anything_runs(project, monkeypatch, capsys, arguments, said):
    (project / "empty").mkdir()
    DepthAnything("tiny").save(project / "model")
    before = (project / "params.yaml").read_text()
    with pytest.raises(SystemExit):
        call(monkeypatch, *arguments)
    assert said in capsys.readouterr().err
    assert (project / "params.yaml").read_text() == before


def test_outside_a_project_it_says_where_to_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        call(monkeypatch, "--images", ".")
    assert "dvc.yaml: not in this folder" in capsys.readouterr().err


def written(project, monkeypatch, *arguments):
    call(monkeypatch, "--images", "photos", *arguments, "-o", "own.yaml", "--force")
    return params.load(project / "own.yaml")


def test_labels_and_images_make_a_whole_params_yaml(project, monkeypatch, capsys):
    found = written(project, monkeypatch, *PAIRS, "--metric", "10")
    said = capsys.readouterr().out
    assert "images: 6 in photos" in said and "images with depth: 5 in pairs" in said
    assert "labels         1 to 3 m" in said
    assert found.export == found.models == found.finetune_semantic == found.sources.semantic == {}
    assert found.sources.labeled["labels"].options == {"color": "rgb/*.png", "depth": "depth/*.png", "unit": 1000.0}
    assert found.sources.labeled["labels"] == found.sources.metric["labels"]
    assert (found.student.encoder, found.encoder.weights, found.student.initial) == ("vits", "packaged", "encoder")
    assert found.training.crop == 126  # no larger than the images
    assert "2 of 5 pairs; 20 are needed" in said and 0.1 <= found.validation.fraction < 1
    assert (found.finetune_metric["own"].maximum, found.finetune_metric["own"].height) == (10.0, 126)
    assert found.sky.segmenter == "none"  # labels end at 3 m
    assert 5 < found.machine.training.checkpoint_every < 1000  # a minute's work
    text = (project / "own.yaml").read_text()
    assert "# 5 pairs, 1 to 3 m" in text and "# pixels; the largest to fit 60 min and a test" in text


def test_a_model_is_started_from_by_its_content(project, monkeypatch):
    DepthAnything("tiny", seed=1).save(project / "model")
    found = written(project, monkeypatch, *PAIRS, "--from", "model")
    ((name, model),) = found.models.items()
    assert model.source == "model"
    assert found.student.initial == found.teacher.initial == f"data/models/{name}"
    assert (found.student.encoder, found.teacher.model) == ("tiny", "")
    DepthAnything("tiny", seed=2).save(project / "model")
    assert name not in written(project, monkeypatch, *PAIRS, "--from", "model").models


def test_without_labels_the_teacher_labels_all(project, monkeypatch):
    DepthAnything("tiny", seed=1).save(project / "model")
    found = written(project, monkeypatch, "--teacher", "~/model".replace("~", str(project)), "--size", "tiny")
    assert found.sources.labeled == {} and found.validation.fraction == 0
    assert found.teacher.model == f"data/models/{next(iter(found.models))}"
    assert (found.encoder.weights, found.feature_alignment.images) == ("none", "none")


def test_a_license_that_forbids_trade_is_said_with_the_plan(project, monkeypatch, capsys):
    torch.save(DepthAnything("tiny", seed=1).official_state(), project / "depth_anything_v2_vitb.pth")
    call(monkeypatch, "--images", "photos", "--teacher", "depth_anything_v2_vitb.pth", "--size", "tiny", "-n")
    said = capsys.readouterr().err
    assert said.startswith("warning: --teacher depth_anything_v2_vitb.pth: ") and "not for commercial use" in said


def test_a_short_time_is_said_and_a_card_runs_nothing_here(project, monkeypatch, capsys):
    call(monkeypatch, "--images", "photos", *PAIRS, "--time", "1s", "-n")
    assert "the time is too short" in capsys.readouterr().out
    call(monkeypatch, "--images", "photos", *PAIRS, "--gpu", "RTX 4090")
    said = capsys.readouterr().out
    assert "plan for RTX 4090 (computed from NVIDIA's white paper" in said and "Nothing runs here" in said
    assert params.load(project / "params.yaml").training.precision == "bf16"


def test_an_edited_params_yaml_is_kept(project, monkeypatch, capsys):
    given = ("--images", "photos", *PAIRS, "--gpu", "T4")  # which runs nothing
    call(monkeypatch, *given)  # in place of the demo's, which nobody edited
    path = project / "params.yaml"
    first = path.read_text()
    edited = first.replace("seed: 7", "seed: 8")
    path.write_text(edited)
    call(monkeypatch, *given)
    assert "stays as it is, with what you edited" in capsys.readouterr().out
    assert path.read_text() == edited
    with pytest.raises(SystemExit):
        call(monkeypatch, *given, "--time", "2h")
    assert "params.yaml: was edited, not for this command" in capsys.readouterr().err
    call(monkeypatch, *given, "--force")
    assert path.read_text() == first
    call(monkeypatch, *given, "--time", "2h")  # another command replaces what nobody edited
    assert path.read_text() != first
