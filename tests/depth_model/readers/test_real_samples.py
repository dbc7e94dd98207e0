"""Real samples of the data sets against what was read of them by other tools (their README)."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from depth_model import readers
from depth_model.shards.images import decode_rgb

from .layouts.blendedmvs import pfm


def read(name, root, **options):
    samples = list(readers.get(name)(root, **options))
    for sample in samples:
        assert decode_rgb(sample.image).shape[:2] == sample.target.shape
    return {sample.key: sample for sample in samples}


def missing(sample):
    return float(np.isnan(sample.target).mean())


def test_seven_scenes(samples):
    found = read("seven_scenes", samples / "7scenes")
    assert len(found) == 41
    assert all(0.055 <= missing(sample) <= 0.245 for sample in found.values())
    targets = np.stack([sample.target for sample in found.values()])
    assert np.nanmin(targets) == np.float32(0.801)
    assert np.nanmax(targets) == np.float32(3.975)
    stored = np.asarray(Image.open(samples / "7scenes" / "redkitchen" / "frame-000850.depth.png"))
    assert np.array_equal(np.isnan(found["redkitchen/frame-000850"].target), (stored == 0) | (stored == 65535))
    assert (stored == 65535).mean() == pytest.approx(0.007, abs=0.001)


def test_tum_rgbd(samples):
    found = read("tum_rgbd", samples / "tum_rgbd")
    assert set(found) == {"freiburg2_desk/1", "freiburg2_desk/2"}
    assert [np.nanmax(sample.target) for sample in found.values()] == [np.float32(v / 5000) for v in (42819, 52492)]
    assert all(missing(sample) == pytest.approx(0.338, abs=0.006) for sample in found.values())
    assert found["freiburg2_desk/1"].intrinsics == (520.9, 521.0, 325.1, 249.7)


def test_icl_nuim(samples):
    found = read("icl_nuim", samples / "icl_nuim")
    assert len(found) == 3
    targets = np.stack([sample.target for sample in found.values()])
    assert not np.isnan(targets).any()
    assert targets.min() == np.float32(4385 / 5000)
    assert targets.max() == np.float32(21415 / 5000)


def test_redwood(samples):
    found = read("rgbd_folder", samples / "redwood", color="color/*.jpg", depth="depth/*.png", unit=1000)
    assert len(found) == 3
    assert max(np.nanmax(sample.target) for sample in found.values()) == np.float32(2.702)
    assert np.mean([missing(sample) for sample in found.values()]) == pytest.approx(0.13, abs=0.01)


def test_tartanair(samples):
    found = read("tartanair", samples / "tartanair")
    assert set(found) == {"hospital/Easy/P000/000070", "hospital/Easy/P000/000188", "oldtown/Easy/P000/000000"}
    town = found["oldtown/Easy/P000/000000"]
    sky = town.semantic == readers.get("tartanair").sky_label
    assert sky.mean() == pytest.approx(0.487, abs=0.001)
    assert np.array_equal(np.isnan(town.target), sky)
    assert (round(float(np.nanmin(town.target)), 2), round(float(np.nanmax(town.target)), 1)) == (2.93, 31.1)
    window = found["hospital/Easy/P000/000188"].target
    assert (window > 1000).mean() == pytest.approx(0.016, abs=0.001)
    assert window.max() == pytest.approx(2984, abs=1)


def test_the_motorcycle_in_the_layout_of_2014(samples, tmp_path):
    source, scene = samples / "middlebury" / "2014_motorcycle", tmp_path / "Motorcycle-quarter"
    scene.mkdir()
    shutil.copy(source / "motorcycle_left.png", scene / "im0.png")
    with np.load(source / "motorcycle_disp.npz") as archive:
        disparity = archive["arr_0"]
    (scene / "disp0.pfm").write_bytes(pfm(disparity))
    camera = "cam0=[994.978 0 311.193; 0 994.978 254.877; 0 0 1]\ndoffs=31.086\nbaseline=193.001\n"
    (scene / "calib.txt").write_text(camera)
    (sample,) = read("middlebury", tmp_path).values()
    disparity = np.where(np.isfinite(disparity), disparity.astype(np.float64), np.nan)
    expected = 994.978 * 193.001 / (disparity + 31.086) / 1000
    np.testing.assert_allclose(sample.target, expected, rtol=1e-6)
    assert missing(sample) == pytest.approx(0.0735, abs=0.0001)
    assert sample.intrinsics == (994.978, 994.978, 311.193, 254.877)
    other = next(readers.get("scikit_image")(subset="motorcycle"))
    np.testing.assert_allclose(sample.target, other.target, rtol=1e-6)


def test_the_cones_in_the_layout_of_2003(samples, tmp_path):
    source, scene = samples / "middlebury" / "2003_cones", tmp_path / "cones"
    scene.mkdir()
    shutil.copy(source / "cones_left.png", scene / "im2.png")
    shutil.copy(source / "cones_gt.png", scene / "disp2.png")
    (sample,) = read("middlebury", tmp_path, release="2003", scale=1.0).values()
    assert missing(sample) == pytest.approx(0.032, abs=0.001)
    assert np.nanmax(sample.target) == 55
    finer = np.asarray(Image.open(source / "pandora_disp_left.tif"))
    both = (finer > 0) & ~np.isnan(sample.target)
    assert np.abs(sample.target - finer)[both].max() <= 1
