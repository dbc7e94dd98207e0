"""A file of one's own in a folder that DVC empties is seen before DVC starts."""

from __future__ import annotations

import json

import pytest
import yaml

from depth_model.errors import UserError
from tasks.workspace import outs

pytestmark = pytest.mark.hostile

DIGEST = "ab" * 16 + ".dir"


@pytest.fixture
def root(tmp_path):
    """A project in which collect@rooms made data/rooms/a.tar and data/rooms/below/b.tar."""
    listing = tmp_path / ".dvc/cache/files/md5/ab" / DIGEST[2:]
    listing.parent.mkdir(parents=True)
    listing.write_text(json.dumps([{"md5": "0" * 32, "relpath": name} for name in ("a.tar", "below/b.tar")]))
    made = [{"path": "data/rooms", "hash": "md5", "md5": DIGEST}, {"path": "one.json", "md5": "c"}]
    entry = {"cmd": "x", "outs": made}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"collect@rooms": entry}}))
    (tmp_path / ".dvcignore").write_text(".gitignore\n__pycache__/\n*.tmp\n")
    for name in ("a.tar", "below/b.tar", ".gitignore", "x.tmp", "__pycache__/y.pyc"):
        path = tmp_path / "data/rooms" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_what_stages_made_is_no_file_of_others(root):
    outs.refuse_unknown_files(root)
    (root / "data/rooms/a.tar").unlink()
    outs.refuse_unknown_files(root)


def test_a_file_of_ones_own_is_named(root):
    (root / "data/rooms/below/mine.jpg").touch()
    with pytest.raises(UserError, match=r"^data/rooms/below/mine\.jpg: DVC empties this folder .*; move what is yours"):
        outs.refuse_unknown_files(root)


def test_a_link_to_a_folder_is_somebodys_too(root):
    (root / "precious").mkdir()
    (root / "data/rooms/below/link").symlink_to(root / "precious")
    with pytest.raises(UserError, match=r"^data/rooms/below/link: DVC empties this folder"):
        outs.refuse_unknown_files(root)


def test_a_result_that_a_kill_left_between_publishing_and_the_lock_is_known(root):
    (root / "data/rooms/c.tar").touch()
    result = root / ".work/collect-rooms/0123/result/data/rooms/c.tar"
    result.parent.mkdir(parents=True)
    result.touch()
    outs.refuse_unknown_files(root)


def test_without_a_lock_or_a_cache_nothing_is_known_and_nothing_refused(root):
    (root / "data/rooms/mine.jpg").touch()
    (root / ".dvc/cache/files/md5/ab" / DIGEST[2:]).unlink()
    outs.refuse_unknown_files(root)
    (root / "dvc.lock").unlink()
    outs.refuse_unknown_files(root)
