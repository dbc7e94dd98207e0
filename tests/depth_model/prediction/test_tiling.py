"""Tiles of a large image: what they add, and that nothing shows where they meet."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_model.prediction.tiling import starts, tiled


def smooth_image(height, width):
    noise = np.random.default_rng(0).uniform(0, 255, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 8)
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
    return np.repeat(smooth.round().astype(np.uint8)[:, :, None], 3, axis=2)


def affine_each_time(images):
    """The gray value, in a scale and shift that differ between images, as a network gives it."""
    return [(image[:, :, 0] * np.float32(1 + image[0, 0, 0] / 50) + image[-1, -1, 0]) for image in images]


def test_tiles_of_any_scale_and_shift_leave_no_seam():
    image = smooth_image(130, 171)
    np.testing.assert_allclose(tiled(affine_each_time, image, 48), affine_each_time([image])[0], rtol=1e-5)


def test_tiles_show_detail_that_the_whole_image_lacks():
    image = smooth_image(120, 120) // 2 + np.random.default_rng(1).integers(0, 60, (120, 120, 1), np.uint8)

    def blurred_when_large(images):
        maps = [image[:, :, 0].astype(np.float32) for image in images]
        return [cv2.GaussianBlur(one, (0, 0), 4) if len(one) > 60 else one for one in maps]

    truth = image[:, :, 0].astype(np.float32)
    ours, whole = tiled(blurred_when_large, image, 60), blurred_when_large([image])[0]
    assert np.corrcoef(ours.ravel(), truth.ravel())[0, 1] > 0.95
    assert np.corrcoef(whole.ravel(), truth.ravel())[0, 1] < 0.9


def test_a_tile_that_takes_near_for_far_is_left_out():
    image = smooth_image(100, 100)

    def inverted_when_small(images):
        return [np.float32(255) - one[:, :, 0] if len(one) < 100 else one[:, :, 0].astype(np.float32) for one in images]

    np.testing.assert_allclose(tiled(inverted_when_small, image, 40), image[:, :, 0], atol=1e-3)


def test_an_image_no_larger_than_a_tile_is_predicted_once():
    calls = []

    def count(images):
        calls.extend(images)
        return [one[:, :, 0].astype(np.float32) for one in images]

    image = smooth_image(40, 33)
    np.testing.assert_array_equal(tiled(count, image, 40), image[:, :, 0])
    assert len(calls) == 1


@given(st.integers(1, 3000), st.integers(14, 800))
def test_tiles_cover_every_pixel_and_overlap_by_half(length, side):
    begins = starts(length, side)
    assert begins[0] == 0
    assert begins[-1] + side == length or (len(begins) == 1 and length <= side)
    steps = np.diff(begins)
    assert (steps > 0).all() and (steps <= side / 2 + 1).all()


@pytest.mark.parametrize("size", [(30, 200), (200, 30)])
def test_an_image_may_be_narrower_than_a_tile(size):
    image = smooth_image(*size)
    assert tiled(affine_each_time, image, 64).shape == size
