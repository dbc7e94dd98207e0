"""The temporal alignment error against what planes before a moving camera give in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.metrics.consistency import clip_depth, temporal_alignment_error
from depth_model.prediction.clip import steadied

HEIGHT, WIDTH, FOCAL = 24, 32, 20.0
CAMERA = np.array([[FOCAL, 0, 15.5], [0, FOCAL, 11.5], [0, 0, 1]])


def clip(depths, places):
    """Planes that face the camera, at `depths`, seen from `places` (x, y, z)."""
    poses = np.repeat(np.eye(4)[None], len(places), axis=0)
    poses[:, :3, 3] = places
    maps = np.stack([np.full((HEIGHT, WIDTH), depth, np.float64) for depth in depths])
    return maps, np.repeat(CAMERA[None], len(places), axis=0), poses


def test_a_plane_before_a_moving_camera_is_consistent():
    forward = clip([10, 8, 5], [(0, 0, 0), (0, 0, 2), (0, 0, 5)])
    sideways = clip([10, 10], [(0, 0, 0), (1.5, 0, 0)])  # by 20 * 1.5 / 10 = 3 pixels
    assert temporal_alignment_error(*forward) == pytest.approx(0, abs=1e-9)
    assert temporal_alignment_error(*sideways) == pytest.approx(0, abs=1e-9)


def test_flicker_has_its_closed_form():
    scale = 1.25  # of the second frame: |s - 1| / s forward, |1 - s| backward
    still = clip([4, 4 * scale], [(0, 0, 0), (0, 0, 0)])
    assert temporal_alignment_error(*still) == pytest.approx(100 * (0.25 / 1.25 + 0.25) / 2)
    # From 10 to 8 meters, but the second map says 9: carried forward 8, back 9 + 2.
    moving = clip([10, 9], [(0, 0, 0), (0, 0, 2)])
    assert temporal_alignment_error(*moving) == pytest.approx(100 * (1 / 9 + 1 / 10) / 2)


def test_what_moves_by_itself_is_left_out_and_nothing_shared_is_no_error():
    maps, cameras, poses = clip([4, 4], [(0, 0, 0), (0, 0, 0)])
    maps[1, :5] = 2
    assert temporal_alignment_error(maps, cameras, poses) > 5
    counted = np.repeat(maps[1:] == 4, 2, axis=0)  # the mask of the frame that a map is carried into
    assert temporal_alignment_error(maps, cameras, poses, counted) == pytest.approx(0)
    away = clip([4, 4], [(0, 0, 0), (500, 0, 0)])
    assert temporal_alignment_error(*away) == 0
    with pytest.raises(ValueError, match="1 frames"):
        temporal_alignment_error(maps[:1], cameras[:1], poses[:1])


def test_one_fit_for_the_clip_leaves_the_flicker_in():
    truth = np.stack([np.tile(np.linspace(2, 6, WIDTH), (HEIGHT, 1))] * 3)
    truth[:, 0] = 0  # no truth
    poses, cameras = np.repeat(np.eye(4)[None], 3, 0), np.repeat(CAMERA[None], 3, 0)
    disparity = 7 / np.where(truth > 0, truth, 2) - 0.4
    found = clip_depth(disparity, truth, 10)
    np.testing.assert_allclose(found[:, 1:], truth[:, 1:], rtol=1e-9)
    assert temporal_alignment_error(found, cameras, poses) == pytest.approx(0, abs=1e-9)
    disparity[1] *= 1.2
    assert temporal_alignment_error(clip_depth(disparity, truth, 10), cameras, poses) > 3


def test_a_steadied_clip_has_less_of_it():
    generator = np.random.default_rng(0)
    truth = np.repeat(2 + np.hypot(*np.mgrid[:HEIGHT, :WIDTH])[None] / 9, 10, axis=0)
    poses, cameras = np.repeat(np.eye(4)[None], 10, 0), np.repeat(CAMERA[None], 10, 0)
    scales, shifts = generator.uniform(0.8, 1.25, (10, 1, 1)), generator.uniform(-0.05, 0.05, (10, 1, 1))
    flickering = (scales / truth + shifts).astype(np.float32)
    steady = np.stack([one.values for one in steadied(flickering, aligned=True)])
    errors = [temporal_alignment_error(clip_depth(one, truth, 10), cameras, poses) for one in (flickering, steady)]
    assert errors[1] < 0.35 * errors[0]
