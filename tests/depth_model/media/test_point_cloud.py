"""Point clouds against the pinhole camera, in a file read by its header alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depth_model.media.point_cloud import camera, ply, relative_depth
from depth_model.metrics.normals import points


def test_opencv_projects_the_points_back_onto_their_pixels():
    depth = np.random.default_rng(0).uniform(1, 5, (6, 10))
    places = points(depth, camera(90, 6, 10))
    matrix = np.array([[5.0, 0, 4.5], [0, 5, 2.5], [0, 0, 1]])  # 90 degrees over 10 columns
    pixels, _ = cv2.projectPoints(places.reshape(-1, 3), np.zeros(3), np.zeros(3), matrix, None)
    rows, columns = np.mgrid[:6, :10]
    np.testing.assert_allclose(pixels[:, 0], np.stack([columns.ravel(), rows.ravel()], 1), atol=1e-9)
    np.testing.assert_array_equal(places[..., 2], depth)


def test_any_camera_can_be_given():
    depth = np.random.default_rng(1).uniform(1, 5, (6, 10))
    places = points(depth, (7.0, 8.0, 3.0, 2.0))
    matrix = np.array([[7.0, 0, 3.0], [0, 8.0, 2.0], [0, 0, 1]])
    pixels, _ = cv2.projectPoints(places.reshape(-1, 3), np.zeros(3), np.zeros(3), matrix, None)
    rows, columns = np.mgrid[:6, :10]
    np.testing.assert_allclose(pixels[:, 0], np.stack([columns.ravel(), rows.ravel()], 1), atol=1e-9)


def test_depth_runs_from_one_to_the_farthest_whatever_scale_and_shift_disparity_has():
    disparity = np.array([[1.0, 2.0], [3.0, 5.0]])
    depth = relative_depth(disparity, 10)
    np.testing.assert_allclose(depth, [[10, 1 / 0.325], [1 / 0.55, 1]])
    np.testing.assert_allclose(relative_depth(7 * disparity + 3, 10), depth)
    assert (relative_depth(np.full((2, 2), 3.0), 10) == 1).all()


def test_the_file_holds_place_and_color_of_every_pixel():
    places = np.arange(18.0).reshape(2, 3, 3)
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) + 100
    header, _, body = ply(places, image).partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 6"]
    assert lines[3:] == [f"property {kind}" for kind in ("float x", "float y", "float z")] + [
        f"property uchar {name}" for name in ("red", "green", "blue")
    ]
    assert len(body) == 6 * 15
    fifth = body[4 * 15 : 5 * 15]
    assert np.frombuffer(fifth[:12], "<f4").tolist() == [12, 13, 14]
    assert list(fifth[12:]) == [112, 113, 114]


@pytest.mark.parametrize("angle", [0, 180, float("nan")])
def test_an_impossible_field_of_view_is_refused(angle):
    with pytest.raises(ValueError, match="between 0 and 180"):
        camera(angle, 2, 2)


@pytest.mark.parametrize("farthest", [1, 0.5, float("nan")])
def test_a_farthest_point_nearer_than_the_nearest_is_refused(farthest):
    with pytest.raises(ValueError, match="above 1"):
        relative_depth(np.ones((2, 2)), farthest)
