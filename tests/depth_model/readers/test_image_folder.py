"""The folder of pictures: which files are found, and under which keys."""

from __future__ import annotations

import pytest

from depth_model import readers
from depth_model.shards.sample import check_key

READER = readers.get("image_folder")


def found(root, **options):
    return {item.source_path: item.key for item in READER.items(root, READER.options(**options))}


@pytest.fixture
def root(tmp_path):
    names = ["b.jpg", "B.JPEG", "notes.txt", "deep/er/c.tif", "deep/d.WebP", "deep/e.bmp", "jpg", ".trash/x.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    return tmp_path


def test_images_are_found_by_their_ending_in_any_case_and_depth(root):
    assert found(root) == {
        "B.JPEG": "B",
        "b.jpg": "b",
        "deep/d.WebP": "deep/d",
        "deep/e.bmp": "deep/e",
        "deep/er/c.tif": "deep/er/c",
    }


def test_patterns_and_depth_can_be_chosen(root):
    assert set(found(root, recursive=False)) == {"B.JPEG", "b.jpg"}
    assert set(found(root, pattern="*.tif")) == {"deep/er/c.tif"}
    assert set(found(root, pattern=("er/*.tif", "b.j*g"))) == {"deep/er/c.tif", "b.jpg", "B.JPEG"}
    assert set(found(root, pattern="deep/*.tif")) == set()
    assert set(found(root, pattern="deep/*", recursive=False)) == {"deep/d.WebP", "deep/e.bmp"}


def test_keys_are_safe_and_distinct(tmp_path):
    names = ["a.jpg", "a.png", "a.JPG", "a b.jpg", "a_b.jpg", "x y/a.jpg", "x_y/a.jpg", "ä.png", "frame.color.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    keys = found(tmp_path)
    assert len(keys) == len(set(keys.values())) == len(names)
    assert all(check_key(key) == key and "." not in key for key in keys.values())
    assert keys["a_b.jpg"] == "a_b"
    assert keys["x_y/a.jpg"] == "x_y/a"
    assert keys == found(tmp_path)


def test_the_inventory_watches_everything_that_counts(root):
    watched = list(READER.watch(root, READER.options()))
    assert {entry["path"] for entry in watched} == {*found(root), "notes.txt", "jpg"}
    assert watched[0]["size"] == 7
    assert watched[0]["modified"] == (root / "B.JPEG").stat().st_mtime_ns


def test_real_photographs_are_read(samples):
    loaded = list(READER(samples / "photos"))
    assert len(loaded) == 42
    for sample in loaded:
        assert sample.image == (samples / "photos" / sample.source_path).read_bytes()
        assert sample.target is None
