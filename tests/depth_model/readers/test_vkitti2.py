"""Virtual KITTI 2: the complement of a list, cameras, sky."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model import readers
from depth_model.shards.disparity import labeled_pixels

from .layouts import vkitti2

READER = readers.get("vkitti2")


def frames(root, **options):
    return [item.key[-14:] for item in READER.listed(root, READER.options(**options))]


def test_the_complement_of_a_list_is_every_other_frame_of_the_camera(tmp_path):
    vkitti2.write(tmp_path)
    assert frames(tmp_path, list="train.txt", complement=True) == [f"Camera_0/{number:05d}" for number in (0, 1, 3)]
    with pytest.raises(ValueError, match="complement needs a list"):
        READER.options(complement=True)


def test_cameras(tmp_path):
    vkitti2.write(tmp_path)
    assert len(frames(tmp_path)) == 4
    assert set(frames(tmp_path, camera="Camera_1")) == {f"Camera_1/{number:05d}" for number in range(4)}
    assert len(frames(tmp_path, camera=None)) == 8


def test_sky_has_no_depth_and_its_own_class(tmp_path):
    vkitti2.write(tmp_path)
    sample = next(READER(tmp_path))
    sky = sample.semantic == READER.sky_label
    assert sky.sum() == 1
    assert not (sky & labeled_pixels(sample.target, "metric_depth")).any()
    assert np.nanmax(sample.target) == np.float32(655.34)
    assert sample.intrinsics == (725.0087, 725.0087, 620.5, 187)
