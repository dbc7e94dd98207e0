"""Surface normals against planes, a ball and plain loops over pixels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from depth_model.metrics.depth import NORMAL_METRICS
from depth_model.metrics.normals import normal_metrics, normals

CAMERA = (50.0, 60.0, 29.5, 19.5)
ROWS, COLUMNS = np.mgrid[:40, :60]
X, Y = (COLUMNS - CAMERA[2]) / CAMERA[0], (ROWS - CAMERA[3]) / CAMERA[1]


def plane(a, b):
    """Depth of the plane with the normal (a, b, -1) that the optical axis meets at 3 meters."""
    return 3 / (1 - a * X - b * Y)


def test_a_plane_has_one_normal_which_looks_to_the_camera():
    expected = np.array([0.3, -0.2, -1]) / np.linalg.norm([0.3, -0.2, -1])
    np.testing.assert_allclose(normals(plane(0.3, -0.2), CAMERA), np.broadcast_to(expected[:, None, None], (3, 38, 58)))


def test_a_ball_has_the_normals_of_a_ball():
    ray = np.stack([X, Y, np.ones_like(X)])
    square, along = (ray**2).sum(0), 10 * ray[2]
    depth = (along - np.sqrt(along**2 - square * (100 - 64))) / square  # of radius 8 around (0, 0, 10)
    outward = (ray * depth - np.array([0, 0, 10])[:, None, None]) / 8
    cosine = (normals(depth, CAMERA) * outward[:, 1:-1, 1:-1]).sum(0)
    assert np.rad2deg(np.arccos(cosine)).max() < 0.1


def test_loops_over_pixels_agree_where_all_neighbors_have_truth():
    depth = np.random.default_rng(0).uniform(1, 2, (9, 11))
    depth[4, 5] = np.nan
    found = normals(depth, CAMERA)
    for row in range(1, 8):
        for column in range(1, 10):

            def place(down, right, row=row, column=column):
                r, c = row + down, column + right
                return depth[r, c] * np.array([(c - CAMERA[2]) / CAMERA[0], (r - CAMERA[3]) / CAMERA[1], 1])

            total = np.zeros(3)
            around = [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, 0)]
            for one, other in pairwise(around):
                normal = np.cross(place(*one) - place(0, 0), place(*other) - place(0, 0))
                total += normal / np.linalg.norm(normal)
            np.testing.assert_allclose(found[:, row - 1, column - 1], total / np.linalg.norm(total), rtol=1e-9)
    assert np.isnan(found[0]).sum() == 5


def test_angles_and_shares_of_two_planes():
    target = plane(0.0, 0.0)
    values = normal_metrics(plane(np.tan(np.deg2rad(20)), 0.0), target, CAMERA)
    assert list(values) == [metric.key for metric in NORMAL_METRICS]
    assert values == pytest.approx(
        {"normal_mean": 20, "normal_median": 20, "normal_11_25": 0, "normal_22_5": 1, "normal_30": 1}
    )
    half = np.where(COLUMNS < 30, target, np.nan)
    assert normal_metrics(7 * target, half, CAMERA)["normal_mean"] == pytest.approx(0, abs=1e-5)


def test_without_a_camera_or_two_rows_of_truth_there_is_no_value():
    target = plane(0.1, 0.1)
    assert np.isnan(list(normal_metrics(target, target, None).values())).all()
    assert np.isnan(list(normal_metrics(target, np.where(ROWS % 2, target, np.nan), CAMERA).values())).all()
