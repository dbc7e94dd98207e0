"""SUN RGB-D: the real scene, both depths, the converted copy."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.readers.sun_rgbd import official_depth

from .layouts import save_picture, save_values, sun_rgbd

READER = readers.get("sun_rgbd")


def test_the_real_scene(samples):
    (sample,) = READER(samples / "sunrgbd")
    assert sample.target.shape == (427, 561)
    assert np.isnan(sample.target).mean() == pytest.approx(0.32, abs=0.01)
    assert (np.nanmin(sample.target), np.nanmax(sample.target)) == (np.float32(1.43), np.float32(2.525))
    assert sample.intrinsics == pytest.approx((520.53, 520.74, 277.93, 215.12), abs=0.01)
    (filled,) = READER(samples / "sunrgbd", depth="filled")
    assert np.isfinite(filled.target).all()
    seen = np.isfinite(sample.target)
    np.testing.assert_allclose(filled.target[seen], sample.target[seen], atol=0.1)  # smoothed by their authors


def test_low_bits_belong_to_the_value(samples):
    depth = official_depth((samples / "sunrgbd" / "open3d_sun3d" / "SUN_depth.png").read_bytes())
    assert np.isnan(depth).mean() == pytest.approx(0.18, abs=0.01)
    assert (np.nanmin(depth), np.nanmax(depth)) == (pytest.approx(1.06, abs=0.01), pytest.approx(9.87, abs=0.01))


def test_all_scenes_without_a_split(tmp_path):
    written = sun_rgbd.write(tmp_path)
    loaded = list(READER(tmp_path, depth="filled"))
    assert len(loaded) == 3 > len(written.targets)
    assert np.nanmin(loaded[0].target) == np.float32(0.007)
    assert loaded[0].intrinsics == (520.5, 520.7, 277.9, 215.1)


def test_the_split_needs_its_file(tmp_path):
    sun_rgbd.write(tmp_path)
    (tmp_path / "SUNRGBDtoolbox" / "traintestSUNRGBD" / "allsplit.mat").rename(tmp_path / "moved.mat")
    with pytest.raises(BadInput, match=r"allsplit\.mat is missing"):
        list(READER(tmp_path, split="test"))
    assert len(list(READER(tmp_path, split="test", list="moved.mat"))) == 2
    with pytest.raises(ValueError, match="list needs a split"):
        READER.options(list="moved.mat")


@pytest.mark.parametrize(("options", "unit"), [({}, 10000), ({"unit": 6553.5}, 6553.5)])
def test_the_converted_copy(tmp_path, options, unit):
    stored = np.array([[0, 10000, 65535]], np.uint16)
    for number in (1, 12):
        save_picture(tmp_path / "rgb" / f"img-{number:06d}.jpg", stored.shape)
        save_values(tmp_path / "depth" / f"{number}.png", stored + np.uint16(number == 12))
    first, second = READER(tmp_path, convention="converted", **options)
    assert first.key == "rgb/img-000001"
    np.testing.assert_allclose(first.target, [[np.nan, 10000 / unit, 65535 / unit]], rtol=1e-6)
    np.testing.assert_allclose(second.target[0, :2], [1 / unit, 10001 / unit], rtol=1e-6)


def test_eight_bits_are_not_official_depth(tmp_path):
    save_values(tmp_path / "depth.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(BadInput, match="not 16 bits"):
        official_depth((tmp_path / "depth.png").read_bytes())
