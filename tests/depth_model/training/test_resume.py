"""Checkpoints that were cut off are passed over, and no code runs out of one."""

from __future__ import annotations

import os
import pickle

import pytest
import torch

from depth_model import files
from depth_model.training.resume import _write, newest_checkpoint, read_checkpoint, save_checkpoint


def load_checkpoint(folder):
    path = newest_checkpoint(folder)
    return path and read_checkpoint(path)


def state(value):
    return {"model": {"weight": torch.full((3,), float(value))}, "history": {"rows": [[1, 0.5]]}}


def test_nothing_saved_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "absent") is None


def test_the_newest_comes_back(tmp_path):
    for step in (9, 10, 11):
        save_checkpoint(tmp_path, step, state(step))
    loaded = load_checkpoint(tmp_path)
    assert loaded["finished"] == 11
    assert loaded["model"]["weight"].tolist() == [11.0] * 3
    assert loaded["history"] == {"rows": [[1, 0.5]]}


def test_two_are_kept(tmp_path):
    for step in (50, 100, 150):
        save_checkpoint(tmp_path, step, state(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-000000100.pt",
        "checkpoint-000000100.pt.sha256",
        "checkpoint-000000150.pt",
        "checkpoint-000000150.pt.sha256",
    ]


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forget_the_checksum(path):
    path.with_name(path.name + ".sha256").unlink()


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, forget_the_checksum])
def test_a_damaged_newest_one_is_passed_over(tmp_path, caplog, damage):
    save_checkpoint(tmp_path, 5, state(5))
    save_checkpoint(tmp_path, 10, state(10))
    damage(tmp_path / "checkpoint-000000010.pt")
    assert load_checkpoint(tmp_path)["finished"] == 5
    assert "checkpoint-000000010.pt is damaged" in caplog.text


def test_all_damaged_is_a_fresh_start(tmp_path):
    save_checkpoint(tmp_path, 5, state(5))
    truncate(tmp_path / "checkpoint-000000005.pt")
    assert load_checkpoint(tmp_path) is None


def test_a_full_disk_is_said_to_be_full():
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "wb", buffering=0) as handle:
        _write(state(5), handle)


def test_what_a_killed_writer_left_is_removed(tmp_path):
    (tmp_path / ".checkpoint-000000004.pt.123.tmp").write_bytes(b"half")
    save_checkpoint(tmp_path, 5, state(5))
    assert not list(tmp_path.glob(".*"))


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_a_pickle_is_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "checkpoint-000000005.pt"
    torch.save({"finished": 5, "model": Payload()}, path)
    files.write_text(tmp_path / f"{path.name}.sha256", f"{files.sha256(path)}  {path.name}\n")
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "executed").exists()
