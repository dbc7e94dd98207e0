"""Damaged objects of DVC's cache are found by their hash, whole ones stay."""

from __future__ import annotations

import hashlib
import json

import pytest
import yaml
from dvc.repo import Repo

from tasks.workspace.scrub import scrub

CONTENT = {"weights": b"\x01\x02\x03", "card": b"# Card"}


def kept(root, data, ending=""):
    """The name of an object with `data`, put into the cache as DVC does."""
    digest = hashlib.md5(data).hexdigest() + ending
    path = root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o444)
    return digest


def stored(root, digest):
    return root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


@pytest.fixture
def root(tmp_path):
    """A project with the out `model`, a folder of two files, in workspace, cache and dvc.lock."""
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / "model").mkdir()
    for name, data in CONTENT.items():
        (tmp_path / "model" / name).write_bytes(data)
    listing = [{"md5": kept(tmp_path, data), "relpath": name} for name, data in CONTENT.items()]
    digest = kept(tmp_path, json.dumps(listing).encode(), ".dir")
    stage = {"cmd": "true", "outs": [{"path": "model", "hash": "md5", "md5": digest}]}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"learn": stage}}))
    return tmp_path


def damage(path, data):
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o444)


def test_a_whole_cache_stays(root):
    assert scrub(root) == []


@pytest.mark.parametrize("data", [b"\x01\x02\x02", b"\x01\x02", b""])
def test_a_damaged_object_goes_and_a_whole_file_of_the_workspace_stays(root, data):
    path = stored(root, hashlib.md5(CONTENT["weights"]).hexdigest())
    damage(path, data)
    assert scrub(root) == [f"{path.relative_to(root)} is damaged and removed"]
    assert not path.exists()
    assert (root / "model" / "weights").read_bytes() == CONTENT["weights"]
    assert scrub(root) == []


def test_a_copy_of_it_in_the_workspace_goes_too(root):
    path = stored(root, hashlib.md5(CONTENT["weights"]).hexdigest())
    for one in (path, root / "model" / "weights"):
        damage(one, b"\x00")
    assert len(scrub(root)) == 2
    assert [one.name for one in (root / "model").iterdir()] == ["card"]


def test_a_damaged_list_of_a_folder_goes(root):
    (path,) = (root / ".dvc/cache/files/md5").glob("*/*.dir")
    damage(path, b"[]")
    assert scrub(root) == [f"{path.relative_to(root)} is damaged and removed"]
    assert len(list((root / "model").iterdir())) == 2
