"""What a kill breaks of DVC's own files is noticed and mended, and nothing else is touched."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys

import pytest

from tasks.workspace import repair
from tests.tasks.workspace import dvc_kills

pytestmark = pytest.mark.hostile

MD5 = "0123456789abcdef0123456789abcdef"
ENTRY = """\
  {name}:
    cmd: touch {name}
    deps:
    - path: seed
      hash: md5
      md5: {md5}
      size: 1
"""


def lock_of(*names, md5=MD5):
    return "schema: '2.0'\nstages:\n" + "".join(ENTRY.format(name=name, md5=md5) for name in names)


@pytest.fixture
def root(tmp_path):
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / "dvc.lock").write_text(lock_of("a", "b", "c"))
    repair.keep(tmp_path)
    return tmp_path


def test_a_whole_project_is_left_alone(root):
    assert repair.mend(root) == []
    assert (root / "dvc.lock").read_text() == lock_of("a", "b", "c")


@pytest.mark.parametrize("cut", range(0, len(lock_of("a", "b", "c")), 3))
def test_a_lock_cut_anywhere_comes_back_whole(root, cut):
    text = lock_of("a", "b", "c")
    (root / "dvc.lock").write_text(text[:cut])
    assert len(repair.mend(root)) == 1
    assert (root / "dvc.lock").read_text() == text
    assert (root / repair.DAMAGED).read_text() == text[:cut]
    assert repair.mend(root) == []


def test_what_is_newer_in_the_damaged_file_is_kept_but_not_its_cut_entry(root):
    new = lock_of("a", "b", "c", md5="f" * 32)
    (root / "dvc.lock").write_text(new[: new.index("  c:") - 20])
    repair.mend(root)
    expected = lock_of("a", md5="f" * 32) + lock_of("b", "c").partition("stages:\n")[2]
    assert (root / "dvc.lock").read_text() == expected


def test_without_a_copy_the_whole_entries_are_saved(root):
    (root / repair.COPY).unlink()
    (root / "dvc.lock").write_text(lock_of("a", "b", "c")[:-30])
    assert "2 stages are known" in repair.mend(root)[0]
    assert (root / "dvc.lock").read_text() == lock_of("a", "b")


def test_a_first_write_that_was_cut_is_removed(root):
    (root / repair.COPY).unlink()
    (root / "dvc.lock").write_text("schema: '2.")
    assert "removed" in repair.mend(root)[0]
    assert not (root / "dvc.lock").exists()


@pytest.mark.parametrize("text", [lock_of("a", "x"), lock_of("b", "c"), lock_of("a", "b", "c", md5="f" * 32)])
def test_a_lock_of_another_commit_is_no_damage(root, text):
    (root / repair.COPY).write_text(lock_of("a", "b", "c", "d", "e"))
    (root / "dvc.lock").write_text(text + ENTRY.format(name="d", md5=MD5))
    assert repair.mend(root) == []
    assert (root / "dvc.lock").read_text() == text + ENTRY.format(name="d", md5=MD5)


def test_a_conflict_of_git_is_left_to_its_owner(root):
    text = lock_of("a") + "<<<<<<< HEAD\n" + lock_of("b")
    (root / "dvc.lock").write_text(text)
    assert repair.mend(root) == []
    assert (root / "dvc.lock").read_text() == text


def test_a_lock_removed_on_purpose_stays_away(root):
    (root / "dvc.lock").unlink()
    assert repair.mend(root) == []
    repair.keep(root)
    assert not (root / repair.COPY).exists()
    assert not (root / "dvc.lock").exists()


@pytest.mark.parametrize("text", ["", "{", '{"read": {"/x": [{"pid": 1, ', "[]", '{"read": 3}'])
def test_a_broken_rwlock_is_removed(root, text):
    path = root / ".dvc" / "tmp" / "rwlock"
    path.write_text(text)
    assert "rwlock" in repair.mend(root)[0]
    assert not path.exists()


def test_a_whole_rwlock_stays(root):
    path = root / ".dvc" / "tmp" / "rwlock"
    path.write_text(json.dumps({"write": {}, "read": {"/x": [{"pid": 1, "cmd": "dvc"}]}}))
    assert repair.mend(root) == []
    assert path.exists()


def test_what_a_living_dvc_is_writing_is_not_broken(root, monkeypatch):
    monkeypatch.setattr(repair, "WAIT_SECONDS", 0.0)
    (root / "dvc.lock").write_text("schema: '2.")
    with open(root / ".dvc" / "tmp" / "lock", "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert repair.mend(root) == []
    assert len(repair.mend(root)) == 1


def test_the_command_says_what_it_mended(root, repository):
    (root / "dvc.lock").write_text(lock_of("a", "b", "c")[:-5])
    (root / "below").mkdir()
    command = [sys.executable, "-m", "tasks.commands.main", "repair"]
    environment = {"PYTHONPATH": str(repository), "PATH": ""}
    said = [subprocess.run(command, cwd=root / "below", env=environment, capture_output=True, text=True)]
    said += [subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)]
    assert [one.returncode for one in said] == [0, 0]
    assert said[0].stdout.startswith("dvc.lock was cut short by a kill: 3 stages are known again")
    assert said[1].stdout.startswith("nothing to mend")


@pytest.mark.slow
def test_dvc_killed_at_random_moments_goes_on(tmp_path):
    counts = dvc_kills.kill_often(tmp_path, 12, seed=5)
    assert counts["inside a write"] > 0
    assert not counts["FAILED"]
