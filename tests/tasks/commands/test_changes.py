"""The comment on a change: figures that moved, and pictures of before and after."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from tasks.commands import changes
from tasks.commands.main import parser


def evaluation(folder, kind, name, models, color=None):
    path = folder / "reports" / "evaluation" / kind
    path.mkdir(parents=True, exist_ok=True)
    (path / f"{name}.json").write_text(json.dumps({"set": name, "models": models}))
    if color:
        (path / name).mkdir()
        Image.new("RGB", (6 if color == "red" else 4, 3), color).save(path / name / "examples.png")


@pytest.fixture
def runs(tmp_path):
    """Two runs: the student got better on hills, nothing moved on nyu, cityscapes is new, streets is gone."""
    before, after = tmp_path / "before", tmp_path / "after"
    constant = {"abs_rel": 0.9, "delta1": 0.1}
    student = {"abs_rel": 0.2, "delta1": 0.7, "silog": 1.0}
    evaluation(before, "relative", "hills", {"student": student, "constant": constant}, "red")
    evaluation(after, "relative", "hills", {"student": student | {"abs_rel": 0.1, "delta1": 0.6}}, "blue")
    for run in (before, after):
        evaluation(run, "metric", "nyu", {"metric/nyu": {"abs_rel": 0.3, "rmse": 1.0, "delta1": 0.5}}, "green")
    evaluation(before, "metric", "streets", {"metric/x": {"abs_rel": 0.3}})
    evaluation(after, "semantic", "cityscapes", {"semantic/cityscapes": {"miou": 40.0}})
    return before, after


def compare(runs, out, *options):
    given = parser().parse_args(["changes", *map(str, runs), "-o", str(out), *options])
    given.run(given)
    return (out / "comment.md").read_text()


def test_the_comment_lists_what_moved_and_which_way(runs, tmp_path):
    found = compare(runs, tmp_path / "out")
    assert "4 of 7 changed" in found
    assert "| relative/hills | student | abs_rel | 0.2000 | 0.1000 | better |" in found
    assert "| relative/hills | student | delta1 | 0.7000 | 0.6000 | worse |" in found
    assert "| semantic/cityscapes | semantic/cityscapes | miou | – | 40.0000 | new |" in found
    assert "| metric/streets | metric/x | abs_rel | 0.3000 | – | gone |" in found
    assert "nyu" not in found and "constant" not in found and "silog" not in found


def test_pictures_of_before_stand_above_those_of_after(runs, tmp_path):
    found = compare(runs, tmp_path / "out", "--pictures", "https://pictures.example/1/")
    assert "![relative-hills](https://pictures.example/1/relative-hills.png)" in found
    with Image.open(tmp_path / "out" / "relative-hills.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (6, 6, 3)
    assert (pixels[:3] == (255, 0, 0)).all() and (pixels[3:, :4] == (0, 0, 255)).all()
    assert (pixels[3:, 4:] == 255).all()
    assert not (tmp_path / "out" / "metric-nyu.png").exists()


def test_without_a_run_it_says_what_to_do(runs, tmp_path):
    with pytest.raises(changes.UserError, match="no evaluation lies there; run 'dvc repro'"):
        compare((runs[0], tmp_path / "nowhere"), tmp_path / "out")
    (runs[1] / "reports" / "evaluation" / "metric" / "nyu.json").write_text("[]")
    with pytest.raises(changes.UserError, match=r"nyu\.json: is no evaluation"):
        compare(runs, tmp_path / "out")


def test_a_picture_of_another_mode_is_drawn(tmp_path):
    for name, mode in (("a", "RGBA"), ("b", "P")):
        Image.new(mode, (2, 2)).save(tmp_path / f"{name}.png")
    with Image.open(io.BytesIO(changes.stacked(tmp_path / "a.png", tmp_path / "b.png"))) as picture:
        assert picture.size == (2, 4)
