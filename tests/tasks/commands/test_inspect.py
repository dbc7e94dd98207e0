"""`depth-anything inspect` as a user calls it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tasks.commands import main


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["depth-anything", "inspect", *map(str, arguments)])
    main.main()


def test_statistics_of_a_folder(tmp_path, monkeypatch, capsys):
    for number in (1, 2, 3):
        stored = np.full((4, 6), 1000 * number, np.uint16)
        stored[0] = 0
        Image.fromarray(stored).save(tmp_path / f"d{number}.png")
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / f"c{number}.png")
    (tmp_path / "d3.png").unlink()
    given = ("--reader", "rgbd_folder", "--root", tmp_path, "--options", "color=c*.png", "depth=d*.png", "unit=1000")
    call(monkeypatch, *given)
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["listed"] == "3"
    assert lines["samples"] == "read   2"
    assert lines["size"] == "4 x 6: 2"
    assert lines["labeled"] == "75.0% of the pixels (75.0% to 75.0% of an image)"
    assert lines["labels"] == "1 to 2 m"
    assert lines["refused"].startswith("1: no depth file")
    call(monkeypatch, *given, "--limit", 1)
    assert "read   1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reader", "hrwsi"), "needs a 'root'"),
        (("--reader", "hrws", "--root", "."), "did you mean 'hrwsi'"),
        (("--reader", "hrwsi", "--root", "nowhere"), "there is no folder"),
        (("--reader", "hrwsi", "--root", ".", "--options", "split=tests"), "split"),
    ],
)
def test_faults_are_one_line(monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit):
        call(monkeypatch, *arguments)
    assert message in capsys.readouterr().err


def test_a_home_is_found_and_a_folder_without_anything_to_read_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, "--reader", "image_folder", "--root=~/empty")
    assert ended.value.code == 1
    assert f"{tmp_path / 'empty'}: nothing that image_folder reads" in capsys.readouterr().err


def test_millimeters_taken_for_meters_and_left_out_files_are_told(tmp_path, monkeypatch, capsys):
    Image.fromarray(np.arange(768, 792, dtype=np.uint16).reshape(4, 6)).save(tmp_path / "d1.png")
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "c1.png")
    (tmp_path / "notes.txt").touch()
    given = ("--reader", "rgbd_folder", "--root", tmp_path, "--options", "color=c*.png", "depth=d*.png", "unit=1")
    call(monkeypatch, *given)
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["labels"] == "768 to 791 m"
    assert "look like millimeters" in lines["warning"]
    assert lines["refused"] == "1: its name fits no pattern of this source"


def test_links_out_of_the_root_are_read_when_asked_for(tmp_path, monkeypatch, capsys):
    (tmp_path / "store").mkdir()
    (tmp_path / "root").mkdir()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "store" / "a.png")
    (tmp_path / "root" / "b.png").symlink_to(tmp_path / "store" / "a.png")
    (tmp_path / "root" / "scene").symlink_to(tmp_path / "store")
    given = ("--reader", "image_folder", "--root", tmp_path / "root", "--options", "follow_links=true")
    call(monkeypatch, *given)
    told = capsys.readouterr().out
    assert "samples read   2" in told and "refused" not in told


def test_labels_of_which_none_is_possible_are_told(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "d1.npy", np.full((4, 6), -2, np.float32))
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "c1.png")
    given = ("--reader", "rgbd_folder", "--root", tmp_path, "--options", "color=c*.png", "depth=d*.npy", "unit=1")
    call(monkeypatch, *given)
    assert "warning        no pixel has a label" in capsys.readouterr().out
