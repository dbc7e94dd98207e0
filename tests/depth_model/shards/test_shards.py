"""Shards read by tarfile alone, and by offset."""

from __future__ import annotations

import hashlib
import tarfile

import numpy as np
import pytest

from depth_model.errors import BadInput
from depth_model.shards.shards import read_member, shard_name, write_shard


def entries(count: int = 20):
    generator = np.random.default_rng(0)
    for number in range(count):
        members = {"jpg": generator.bytes(int(generator.integers(0, 3000)))}
        if number % 2:
            members["target.dar"] = generator.bytes(512)
        yield f"scene/{number:06d}", members


def test_any_tar_reader_finds_the_members_in_order(tmp_path):
    write_shard(tmp_path / "shard-000000.tar", entries())
    with tarfile.open(tmp_path / "shard-000000.tar", "r:") as archive:
        found = [(member.name, archive.extractfile(member).read(), member.mtime, member.uid) for member in archive]
    expected = [(f"{key}.{suffix}", data, 0, 0) for key, members in entries() for suffix, data in members.items()]
    assert found == expected


def test_offsets_lead_to_the_content(tmp_path):
    path = tmp_path / "shard-000000.tar"
    rows = write_shard(path, entries())
    for row, (key, members) in zip(rows, entries(), strict=True):
        assert (row["key"], row["shard"]) == (key, path.name)
        assert {suffix: read_member(path, *place) for suffix, place in row["members"].items()} == members


def test_long_keys_keep_their_offsets(tmp_path):
    path = tmp_path / "long.tar"
    key = "/".join(["folder" * 10] * 5)
    rows = write_shard(path, [(key, {"jpg": b"content"}), ("next", {"jpg": b"more"})])
    assert read_member(path, *rows[0]["members"]["jpg"]) == b"content"
    assert read_member(path, *rows[1]["members"]["jpg"]) == b"more"
    with tarfile.open(path) as archive:
        assert archive.getnames() == [f"{key}.jpg", "next.jpg"]


def test_the_same_samples_give_the_same_bytes(tmp_path):
    digests = set()
    for name in ("first", "second"):
        write_shard(tmp_path / name / "shard-000000.tar", entries())
        digests.add(hashlib.sha256((tmp_path / name / "shard-000000.tar").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_an_interrupted_shard_leaves_nothing(tmp_path):
    def broken():
        yield from entries(3)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_shard(tmp_path / "shard-000000.tar", broken())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["../up", "/root", "a b", "a//b", "", "umlaut-ä", "a/./b"])
def test_unsafe_keys_are_refused(tmp_path, key):
    with pytest.raises(BadInput, match="key"):
        write_shard(tmp_path / "shard.tar", [(key, {"jpg": b""})])


def test_a_key_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'a' stands twice"):
        write_shard(tmp_path / "shard.tar", [("a", {"jpg": b""}), ("a", {"jpg": b""})])


def test_a_cut_shard_is_noticed(tmp_path):
    path = tmp_path / "shard-000000.tar"
    rows = write_shard(path, entries())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadInput, match=r"shard-000000\.tar: cut off"):
        read_member(path, *rows[-1]["members"]["jpg"])


def test_a_name_tells_what_was_put_in():
    digest = hashlib.sha256(b"items").hexdigest()
    assert shard_name(digest) == f"shard-{digest[:16]}.tar"
