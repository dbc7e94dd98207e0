"""A collection is the same bytes whenever its files were written, and whatever their shards are called meanwhile."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from depth_model import files
from depth_model.shards import manifest
from depth_model.shards.source import SourceFolder


@pytest.fixture
def pictures(tmp_path):
    generator = np.random.default_rng(0)
    root = tmp_path / "pictures"
    root.mkdir()
    for number in range(10):
        Image.fromarray(generator.integers(0, 256, (20, 30, 3), np.uint8)).save(root / f"{number}.png")
    return root


def test_times_of_files_change_no_byte(pictures, tmp_path, collect):
    first = collect("image_folder", pictures, samples_per_shard=4)
    again = tmp_path / "again"
    shutil.copytree(pictures, again)
    for number, path in enumerate(sorted(again.iterdir())):
        os.utime(path, (number, 1_000_000_000 + number))
    second = collect("image_folder", again, "second", "other", samples_per_shard=4)
    assert {path.name: path.read_bytes() for path in second.iterdir()} == {
        path.name: path.read_bytes() for path in first.iterdir()
    }


def test_shards_are_named_by_their_content_and_read_by_it(pictures, collect):
    result = collect("image_folder", pictures, samples_per_shard=4)
    shards = sorted(path.name for path in result.glob("*.tar"))
    assert 3 <= len(shards) <= 4
    assert shards == sorted(f"shard-{files.sha256(result / name)[:16]}.tar" for name in shards)
    listed = manifest.metadata(result / manifest.MANIFEST)["shards"]
    assert sorted(one["name"] for one in listed) == shards
    assert set(manifest.read_frame(result / manifest.MANIFEST)["shard"]) == set(shards)
    source = SourceFolder(result)
    keys = manifest.read_frame(result / manifest.MANIFEST)["key"]
    for row, key in enumerate(keys):
        with Image.open(pictures / f"{key}.png") as picture:
            assert np.array_equal(source.image(row), np.asarray(picture))
