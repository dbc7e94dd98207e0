"""DDAD: LiDAR points of known pixels and of a known plane, real sweeps, partial releases, broken scenes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.readers.ddad import projected

from .layouts import ddad

READER = readers.get("ddad")


def test_points_made_from_pixels_come_back_through_both_poses(tmp_path):
    ddad.write(tmp_path)
    loaded = list(READER(tmp_path, split="val"))
    assert len(loaded) == 2
    for number, sample in enumerate(loaded):
        np.testing.assert_allclose(sample.target, ddad.expected_depth(number), rtol=2e-6)
        assert sample.intrinsics == ddad.INTRINSICS


def test_a_plane_seen_at_a_slant():
    rows, columns = np.mgrid[0:40, 0:60]
    fx, fy, cx, cy = 50.0, 52.0, 29.0, 18.5
    ray = np.stack(((columns - cx) / fx, (rows - cy) / fy, np.ones(rows.shape)), axis=-1)
    normal = np.array([0.3, -0.8, 1.0])
    depth = 12.0 / (ray @ normal)  # normal . (ray * depth) = 12
    points = (ray * depth[..., None]).reshape(-1, 3)
    np.testing.assert_allclose(projected(points, (fx, fy, cx, cy), rows.shape), depth, rtol=1e-6)


def test_the_nearest_point_of_a_pixel_counts_whatever_the_order():
    points = np.array([[0, 0, 9.0], [0.1, 0, 4.0], [0, 0, 6.0], [0, 0, -1.0], [0, 0, 0], [np.nan, 0, 1], [9e300, 0, 1]])
    for order in (points, points[::-1]):
        depth = projected(order, (1.0, 1.0, 1.0, 1.0), (3, 3))
        assert depth[1, 1] == 4
        assert np.isfinite(depth).sum() == 1


@pytest.mark.parametrize(
    ("camera", "count", "near", "far"),
    [("CAMERA_01", 4800, 5.1, 226), ("CAMERA_05", 10900, 2.6, 168), ("CAMERA_06", 10300, 2.6, 160)],
)
def test_real_sweeps(samples, camera, count, near, far):
    loaded = list(READER(samples / "ddad_dgp" / "test_scene", camera=camera, split="val"))
    assert len(loaded) == 3
    for sample in loaded:
        assert sample.target.shape == (1216, 1936)
        assert np.isfinite(sample.target).sum() == pytest.approx(count, rel=0.05)
        assert np.nanmin(sample.target) == pytest.approx(near, abs=0.1)
    assert max(np.nanmax(sample.target) for sample in loaded) == pytest.approx(far, abs=1)


@pytest.mark.parametrize("below", ["", "test_scene", "test_scene/scene_01"])
def test_any_level_of_the_folders_is_a_root(samples, below):
    targets = [sample.target for sample in READER(samples / "ddad_dgp" / below)]
    assert [np.isfinite(target).sum() for target in targets] == [4814, 4779, 4813]


def test_a_split_without_its_scenes_is_refused(tmp_path):
    ddad.write(tmp_path)
    with pytest.raises(BadInput, match="not one sample"):
        list(READER(tmp_path, split="train"))


def test_a_broken_scene_is_refused_and_the_next_one_read(tmp_path):
    ddad.write(tmp_path)
    shutil.copytree(tmp_path / "000150", tmp_path / "000152")
    splits = json.loads((tmp_path / "ddad.json").read_text())
    splits["scene_splits"]["1"]["filenames"].insert(0, ddad.SCENE.replace("000150", "000152"))
    (tmp_path / "ddad.json").write_text(json.dumps(splits))
    (tmp_path / ddad.SCENE.replace("000150", "000152")).write_text('{"data": [{}]')
    refused = []
    loaded = list(READER(tmp_path, on_rejected=lambda item, reason: refused.append(reason)))
    assert len(loaded) == 2
    assert len(refused) == 1
    assert "not a JSON file" in refused[0]


@pytest.mark.parametrize(
    ("file", "reason"), [("calibration/c0e1.json", "is missing"), ("point_cloud/LIDAR/0.npz", "0.npz is missing")]
)
def test_what_belongs_to_a_sample_may_be_missing(tmp_path, file, reason):
    ddad.write(tmp_path)
    (tmp_path / "000150" / file).unlink()
    with pytest.raises(BadInput, match=reason):
        next(READER(tmp_path))
