"""Names and paths of loose files."""

from __future__ import annotations

import pytest

from depth_model.errors import BadInput
from depth_model.reading.inputs import paths_below, read_below, safe_key, wildcard
from depth_model.shards.sample import check_key


def test_safe_names_stay_and_others_become_distinct():
    assert safe_key("scene_01/frame-000007") == "scene_01/frame-000007"
    texts = ["a b", "a_b", "a.b", "a:b", "ä", "ö", "x/ä", "../a", "a/../b", "\udcff", "a\nb"]
    keys = [check_key(safe_key(text)) for text in texts]
    assert len(set(keys)) == len(texts)
    assert keys == [safe_key(text) for text in texts]
    assert not any("." in key for key in keys)


def test_links_may_not_lead_out_of_the_root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "inside").write_bytes(b"inside")
    (root / "link_in").symlink_to(root / "inside")
    (root / "link_out").symlink_to(tmp_path / "secret")
    assert read_below(root, "inside") == read_below(root, "link_in") == b"inside"
    for path in ("link_out", "../secret", str(tmp_path / "secret")):
        with pytest.raises(BadInput, match="out of the root"):
            read_below(root, path)
    (tmp_path / "alias").symlink_to(root)
    assert read_below(tmp_path / "alias", "inside") == b"inside"


def test_paths_are_sorted_and_hidden_files_left_out(tmp_path):
    for path in ("b/2.png", "b/10.png", "a.png", ".hidden/x.png", "b/.hidden.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert list(paths_below(tmp_path)) == ["a.png", "b/10.png", "b/2.png"]


@pytest.mark.parametrize("pattern", ["*/rgb_*.jpg", "{}/rgb_{}.jpg"])
def test_wildcards_stand_for_parts_of_one_name(pattern):
    assert wildcard(pattern).fullmatch("room/rgb_007.jpg").groups() == ("room", "007")
    assert wildcard(pattern).fullmatch("house/room/rgb_007.jpg") is None
    assert wildcard(pattern).fullmatch("room/rgb_.jpg") is None
    assert wildcard(pattern).fullmatch("room/rgb_007xjpg") is None
