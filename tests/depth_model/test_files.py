"""A file is whole or absent."""

from __future__ import annotations

import hashlib
import json

import pytest

from depth_model import files


def test_a_failed_write_keeps_the_old_content(tmp_path):
    path = tmp_path / "model.bin"
    files.write_bytes(path, b"old")
    with pytest.raises(RuntimeError), files.atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_not_a_number_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "metrics.json", {"abs_rel": float("nan")})
    assert not (tmp_path / "metrics.json").exists()


def test_checksums_are_those_of_hashlib(tmp_path):
    files.write_text(tmp_path / "a.txt", "disparity")
    assert files.sha256(tmp_path / "a.txt") == hashlib.sha256(b"disparity").hexdigest()
    assert files.sha256_of_json({"b": 1, "a": [2]}) == hashlib.sha256(b'{"a":[2],"b":1}').hexdigest()
    assert files.sha256_of_json({"a": 1, "b": 2}) == files.sha256_of_json({"b": 2, "a": 1})


@pytest.mark.hostile
@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{}x", b"{", b""])
def test_json_that_cannot_be_read_is_one_kind_of_error(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(json.JSONDecodeError):
        files.read_json(tmp_path / "config.json")
