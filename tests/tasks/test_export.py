"""Exporting the rendered world: the command for people, the stage for the pipeline."""

from __future__ import annotations

import sys

import pytest
import yaml

from depth_model import readers
from depth_model.errors import UserError
from tasks.commands import main
from tasks.settings import params
from tests.tasks.starting import start

WORLD = {"layout": "nyu", "domain": "rooms", "counts": {"train": 2, "test": 1}, "seed": 4, "height": 40, "width": 56}


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["depth-anything", *map(str, arguments)])
    given = main.parser().parse_args()
    given.run(given)


def test_the_command_writes_a_set_that_its_reader_reads(tmp_path, monkeypatch, capsys):
    out = tmp_path / "kitti"
    wanted = ("--count", 2, "--held-out", 1, "--height", 40, "--width", 56)
    run(monkeypatch, "export-world", "--layout", "kitti", "--domain", "streets", *wanted, "-o", out)
    assert "2 train, 1 val" in capsys.readouterr().out
    assert [sample.target.shape for sample in readers.get("kitti")(out)] == [(40, 56)] * 3
    with pytest.raises(UserError, match="is not empty"):
        run(monkeypatch, "export-world", "--layout", "kitti", "--domain", "streets", "-o", out)


@pytest.mark.parametrize("wrong", [("--height", "8"), ("--count", "-1"), ("--layout", "nowhere")])
def test_wrong_arguments_are_refused(tmp_path, monkeypatch, capsys, wrong):
    given = {"--layout": "kitti", "--domain": "streets"} | dict([wrong])
    with pytest.raises(SystemExit):
        run(monkeypatch, "export-world", *[word for pair in given.items() for word in pair], "-o", tmp_path / "out")
    assert wrong[1] in capsys.readouterr().err


def test_the_stage_leaves_the_set_for_the_sources_of_params(tmp_path, monkeypatch, repository):
    parameters = yaml.safe_load((repository / "tests/pipeline/tiny.yaml").read_text())
    parameters["export"] = {"rooms": WORLD}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(parameters))
    monkeypatch.chdir(tmp_path)
    start("export@rooms")
    found = list(readers.get("nyu")(tmp_path / "data/exported/rooms", split="train"))
    assert len(found) == 2
    with pytest.raises(UserError, match=r"dvc.yaml: export@cellar: "):
        start("export@cellar")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "nyuu"}, "did you mean 'nyu'"),
        ({"domain": "room"}, "did you mean 'rooms'"),
        ({"counts": {"val": 1}}, "no split 'val'"),
        ({"height": 8}, "export.rooms.height = 8"),
    ],
)
def test_wrong_parameters_are_refused_with_the_remedy(repository, change, message):
    parameters = yaml.safe_load((repository / "tests/pipeline/tiny.yaml").read_text())
    parameters["export"] = {"rooms": WORLD | change}
    with pytest.raises(UserError, match=message):
        params.check(parameters)


def test_an_experiment_in_a_temporary_copy_reads_what_it_exported_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    monkeypatch.chdir(tmp_path)
    exported = params.Source(reader="nyu", root="data/exported/rooms")
    assert params.source_root(exported) == tmp_path / "data/exported/rooms"
    own = params.Source(reader="image_folder", root="data/photographs")
    assert params.source_root(own) == tmp_path / "project/data/photographs"
