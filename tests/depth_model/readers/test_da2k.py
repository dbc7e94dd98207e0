"""DA-2K: pairs by key, types of scene, annotations that are wrong."""

from __future__ import annotations

import json

import pytest

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.readers.da2k import Pair, pairs, scene

from .layouts import da2k

READER = readers.get("da2k")


def test_pairs_belong_to_the_keys_and_the_closer_point_is_first(tmp_path):
    written = da2k.write(tmp_path)
    found = pairs(tmp_path)
    assert set(written.targets) | set(written.refused) == set(found)
    assert found["images/underwater/fish"] == [Pair((3, 20), (10, 1))]
    (chair,) = (listed for key, listed in found.items() if "stuhl" in key)
    assert chair == [Pair(closer=(1, 2), farther=(0, 0)), Pair(closer=(5, 6), farther=(7, 8))]


def test_types_of_scene(tmp_path):
    da2k.write(tmp_path)
    (sample,) = READER(tmp_path, scene="indoor")
    assert scene(sample.key) == "indoor"
    with pytest.raises(ValueError, match="names a type of scene"):
        scene("images/elsewhere/a")


def test_the_folder_above_is_a_root_too(tmp_path):
    da2k.write(tmp_path / "DA-2K")
    (sample,) = READER(tmp_path, scene="underwater")
    assert sample.source_path == "DA-2K/images/underwater/fish.jpg"
    assert sample.key in pairs(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "[]",
        json.dumps({"a.jpg": [{"point1": [1, 2]}]}),
        json.dumps({"a.jpg": [{"point1": [1, 2], "point2": [1], "closer_point": "point1"}]}),
        json.dumps({"a.jpg": [{"point1": [1, 2], "point2": [1, -3], "closer_point": "point1"}]}),
        json.dumps({"a.jpg": [{"point1": [1, 2], "point2": [1, 3], "closer_point": "point3"}]}),
    ],
)
def test_wrong_annotations_are_refused(tmp_path, content):
    (tmp_path / "annotations.json").write_text(content)
    with pytest.raises(BadInput, match=r"annotations\.json: "):
        pairs(tmp_path)
