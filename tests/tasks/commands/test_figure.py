"""`depth-anything figure` as a user calls it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from depth_model.networks import DepthAnything
from tasks.commands import main


@pytest.fixture
def call(monkeypatch, tmp_path):
    generator = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        Image.fromarray(generator.integers(0, 256, (48, 64, 3), np.uint8)).save(tmp_path / f"photos/{number}.png")
    for name, seed in (("one", 1), ("two", 2)):
        DepthAnything("tiny", seed=seed).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)

    def called(*arguments):
        monkeypatch.setattr("sys.argv", ["depth-anything", "figure", *arguments, "--short-side", "28"])
        main.main()

    return called


def test_a_figure_of_two_models_is_written_and_a_broken_picture_is_told(call, capsys, tmp_path):
    call("photos", "--model", "one", "--model", "other=two", "-o", "figure.png")
    whole = Image.open(tmp_path / "figure.png").size
    (tmp_path / "photos" / "0.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit):
        call("photos", "--model", "one", "--model", "other=two", "-o", "figure.png")
    assert "1 of 2 files failed" in capsys.readouterr().err
    width, height = Image.open(tmp_path / "figure.png").size
    assert width == whole[0] and height == pytest.approx(whole[1] / 2, abs=2)


def test_without_a_picture_there_is_no_figure(call, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("a")
    with pytest.raises(SystemExit):
        call("empty", "--model", "one", "-o", "figure.png")
    assert not (tmp_path / "figure.png").exists()
