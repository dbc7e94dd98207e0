"""dvc.lock has the bytes that DVC writes, whichever stages ran and whatever their parameters are."""

from __future__ import annotations

import pytest
import yaml
from dvc.dvcfile import Lockfile
from dvc.repo import Repo

from tasks.workspace import lock_file

PARAMS = {
    "rate": 2e-05,
    "name": "yes",
    "text": "a: b # c\n\nd" + " word" * 30,
    "nothing": None,
    "deep": {"list": [1, 2.5, {"on": False}], "empty": {}},
}


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(Lockfile, "dump_stages", Lockfile.dump_stages)  # put back afterwards
    lock_file.install()


def project(folder):
    folder.mkdir()
    one = {"cmd": "cp params.yaml $DVC_STAGE", "params": list(PARAMS), "outs": ["first"]}
    each = {"cmd": 'cp first "$DVC_STAGE"', "deps": ["first"], "outs": ["each@${item}"]}
    (folder / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {"first": one, "each": {"foreach": ["a", "b: c", "1"], "do": each}}})
    )
    return Repo.init(str(folder), no_scm=True)


def history(repository, folder, monkeypatch):
    """Return dvc.lock after a run, after one in which a parameter has another value, and after one of one stage."""
    monkeypatch.chdir(folder)
    found = []
    for change, target in ({}, None), ({"rate": 1.0}, None), ({"deep": "7e3"}, "first"):
        (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS | change))
        repository.reproduce(target)
        found.append((folder / "dvc.lock").read_bytes())
    assert len(set(found)) == 3
    return found


def test_the_bytes_are_those_of_dvc(tmp_path, monkeypatch, request):
    by_dvc = history(project(tmp_path / "dvc"), tmp_path / "dvc", monkeypatch)
    request.getfixturevalue("installed")
    assert history(project(tmp_path / "ours"), tmp_path / "ours", monkeypatch) == by_dvc


@pytest.mark.parametrize(
    "edited", [lambda text: f"# by hand\n{text}datasets: []\n", lambda text: text.rstrip("\n")], ids=["keys", "end"]
)
def test_a_file_of_another_shape_is_left_to_dvc(tmp_path, monkeypatch, installed, edited):
    folder = tmp_path / "project"
    repository = project(folder)
    monkeypatch.chdir(folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"deep": "7e3"}))
    repository.reproduce()
    lock = folder / "dvc.lock"
    shape = edited(lock.read_text())
    lock.write_text(shape)
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    repository.reproduce()
    found = yaml.safe_load(lock.read_text())
    assert found | {"stages": None} == yaml.safe_load(shape) | {"stages": None}
    assert lock.read_text().startswith(shape.partition("\n")[0])
    assert found["stages"]["first"]["params"]["params.yaml"]["deep"]["empty"] == {}
    assert len(found["stages"]) == 4
