"""KITTI: real frames, the walk without a list, intrinsics of the rectified cameras, lists that are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from depth_model import readers
from depth_model.errors import BadInput

from .layouts import kitti

READER = readers.get("kitti")


def test_real_frames(samples):
    loaded = list(READER(samples / "kitti"))
    assert [sample.key[-10:] for sample in loaded] == ["0000000005", "0000000050"]
    for sample in loaded:
        assert sample.target.shape == (375, 1242)
        assert 0.19 <= np.isfinite(sample.target).mean() <= 0.21
        assert np.nanmedian(sample.target) == pytest.approx(13.8, abs=2)
    assert max(np.nanmax(sample.target) for sample in loaded) == 21733 / 256
    stored = np.asarray(Image.open(next((samples / "kitti" / "data_depth_annotated").rglob("0000000005.png"))))
    assert np.array_equal(np.nan_to_num(loaded[0].target) * 256, stored)


def test_without_a_list_all_annotated_frames_are_taken(tmp_path):
    kitti.write(tmp_path)
    keys = [item.key for item in READER.listed(tmp_path, READER.options())]
    drive = f"{kitti.DATE}_drive_000"
    assert keys == [
        f"{drive}1_sync/image_02/0000000069",
        f"{drive}2_sync/image_02/0000000007",
        f"{drive}2_sync/image_03/0000000005",
    ]
    chosen = READER.options(split="val", camera="image_03")
    assert [item.key for item in READER.listed(tmp_path, chosen)] == [keys[2]]


def test_intrinsics_are_those_of_the_rectified_camera(tmp_path):
    written = kitti.write(tmp_path)
    left, right = READER(tmp_path, **written.options, on_rejected=lambda item, reason: None)
    assert left.intrinsics == (721.5377, 721.5377, 609.5593, 172.854)
    assert right.intrinsics == (721.0, 722.0, 600.0, 170.0)


def test_a_line_that_is_no_line_of_an_eigen_list_is_named(tmp_path):
    kitti.write(tmp_path)
    (tmp_path / "wrong.txt").write_text("../../../etc/passwd secret 1\n")
    with pytest.raises(BadInput, match=r"list: '\.\./\.\./\.\./etc/passwd secret 1' is not"):
        list(READER(tmp_path, list="wrong.txt"))
    with pytest.raises(BadInput, match=r"there is no file 'missing\.txt'"):
        list(READER(tmp_path, list="missing.txt"))


def test_the_inventory_sees_another_list(tmp_path):
    written = kitti.write(tmp_path / "data")
    options = READER.options(list=str(tmp_path / "elsewhere.txt"))
    seen = []
    for text in ("one\n", "two\n", "two\n"):
        (tmp_path / "elsewhere.txt").write_text(text)
        seen.append(list(READER.watch(tmp_path / "data", options)))
    assert written.options["list"] in [entry.get("path") for entry in seen[0]]
    assert seen[0] != seen[1] == seen[2]
    assert str(tmp_path) not in str(seen)
