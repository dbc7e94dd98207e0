"""A command writes neither into what it reads nor over what it did not make."""

from __future__ import annotations

import argparse
import os
import re

import pytest

from depth_model import files
from depth_model.comparison import run as comparison_run
from depth_model.errors import BadInput
from tasks.commands import outputs
from tasks.commands.main import main, parser

pytestmark = pytest.mark.hostile


def given(out, *sources, force=False):
    return argparse.Namespace(out=out, reads=("sources",), sources=[str(one) for one in sources], force=force)


def run(arguments, path, text="result", is_file=False):
    with outputs.guarded(arguments, is_file):
        files.write_text(path, text)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    (folder / "a.jpg").write_text("picture")
    return folder


def test_every_command_with_an_output_is_guarded():
    commands = next(one for one in parser()._actions if isinstance(one, argparse._SubParsersAction)).choices
    with_output = {name for name, one in commands.items() if "--out" in one.format_help()}
    assert with_output >= {"predict", "segment", "evaluate", "tables", "convert", "export-world", "export-labels"}
    for name in with_output:
        assert isinstance(commands[name].get_default("reads"), tuple), name
        assert re.search(r"--force\b", commands[name].format_help()), name


@pytest.mark.parametrize("place", [".", "below", "below/../new", "link"])
def test_an_output_inside_an_input_is_refused(pictures, tmp_path, place):
    (tmp_path / "elsewhere").symlink_to(pictures)
    out = tmp_path / "elsewhere" / "below" if place == "link" else pictures / place
    with pytest.raises(BadInput, match=r"is the input itself|lies inside the input"):
        run(given(out, pictures), out / "x")
    assert sorted(one.name for one in pictures.iterdir()) == ["a.jpg", "below"]


def test_the_folder_of_an_input_file_is_refused(pictures):
    for name in ("a.jpg", "*.jpg"):
        with pytest.raises(BadInput, match="is the folder of the input"):
            run(given(pictures, pictures / name), pictures / "x")
    run(given(pictures, pictures / "a.jpg", force=True), pictures / "x")


def test_an_input_is_never_replaced_even_by_force(pictures):
    with pytest.raises(BadInput, match="is the input itself"):
        run(given(pictures / "a.jpg", pictures / "a.jpg", force=True), pictures / "a.jpg", is_file=True)
    assert (pictures / "a.jpg").read_text() == "picture"


def test_what_the_command_made_is_replaced_and_what_others_made_is_not(tmp_path):
    out = tmp_path / "out"
    run(given(out), out / "below" / "a.png")
    run(given(out), out / "below" / "a.png", "again")
    assert (out / "below" / "a.png").read_text() == "again"
    (out / "below" / "a.png").write_text("mine")
    (out / "b.png").write_text("mine too")
    for name in ("below/a.png", "b.png"):
        with pytest.raises(BadInput, match="was not made by this command; --force"):
            run(given(out), out / name)
    assert (out / "b.png").read_text() == "mine too"
    run(given(out, force=True), out / "b.png")
    run(given(out), out / "b.png", "mine no more")


def test_one_file_as_output(tmp_path):
    out = tmp_path / "model.onnx"
    for _ in range(2):
        run(given(out), out, is_file=True)
    out.write_text("mine")
    with pytest.raises(BadInput, match="was not made"):
        run(given(out), out, is_file=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match="was not made"):
        run(given(tmp_path / "folder"), tmp_path / "folder", is_file=True)


def test_a_cut_record_counts_to_its_last_whole_line(tmp_path):
    out = tmp_path / "out"
    run(given(out), out / "a")
    with open(out / outputs.RECORD, "a") as handle:
        handle.write('["b", 12')
    run(given(out), out / "a")


def test_a_link_is_never_written_through(tmp_path):
    out, mine = tmp_path / "out", tmp_path / "mine"
    mine.write_text("mine")
    out.mkdir()
    (out / "a").symlink_to(mine)
    with pytest.raises(BadInput, match="was not made"):
        run(given(out), out / "a")
    run(given(out, force=True), out / "a")
    assert mine.read_text() == "mine"
    (out / outputs.RECORD).unlink()
    (out / outputs.RECORD).symlink_to(mine)
    with pytest.raises(BadInput, match="cannot be written to"):
        run(given(out), out / "b")
    assert mine.read_text() == "mine"


def test_nothing_is_left_when_nothing_was_written(tmp_path):
    with pytest.raises(ZeroDivisionError), outputs.guarded(given(tmp_path / "out")):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []
    assert files.guards == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"-o .*file/out: cannot be written to: Not a directory"):
        run(given(tmp_path / "file" / "out"), tmp_path / "x")


def test_a_planted_temporary_name_is_not_used(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "guessed")
    (tmp_path / ".a.guessed.tmp").symlink_to(mine)
    with pytest.raises(FileExistsError):
        files.write_text(tmp_path / "a", "text")
    assert mine.read_text() == "mine"


def test_a_full_disk_names_the_file():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '/tmp/a'"), files.naming("/tmp/a"):
        with open("/dev/full", "w", buffering=1) as handle:
            handle.write("x\n")


@pytest.mark.parametrize("out", ["album", "album/out", "model"])
def test_predict_is_stopped_before_it_loads_a_model(tmp_path, monkeypatch, capsys, out):
    for name in ("album/a.jpg", "model/config.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["depth-anything", "predict", "album", "--model", "model", "-o", out])
    with pytest.raises(SystemExit):
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: -o {out}: ")
    assert len(list(tmp_path.rglob("*"))) == 4


def opened(arguments, folder, fingerprint="one"):
    with outputs.guarded(arguments), comparison_run._opened(folder, fingerprint) as handle:
        handle.write("{}\n")


def test_growing_results_are_replaced_only_where_they_are_ours(tmp_path):
    out, folder = tmp_path / "out", tmp_path / "out" / "runs" / "model"
    folder.mkdir(parents=True)
    (folder / "results.jsonl").write_text("mine\n")
    with pytest.raises(BadInput, match="was not made by this command; --force"):
        opened(given(out), folder)
    assert (folder / "results.jsonl").read_text() == "mine\n"
    (folder / "results.jsonl").unlink()
    for fingerprint, lines in (("one", 1), ("one", 2), ("two", 1)):
        opened(given(out), folder, fingerprint)
        assert (folder / "results.jsonl").read_text() == "{}\n" * lines


@pytest.mark.parametrize("name", [".lock", "results.jsonl"])
def test_growing_files_are_not_written_through_a_link(tmp_path, name):
    out, folder = tmp_path / "out", tmp_path / "out" / "runs" / "model"
    opened(given(out), folder)
    (tmp_path / "precious").write_text("mine")
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        opened(given(out), folder)
    assert (tmp_path / "precious").read_text() == "mine"
