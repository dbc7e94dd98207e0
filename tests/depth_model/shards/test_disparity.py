"""Disparity of targets: the check values of the reference, sky, and maps that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.errors import BadInput
from depth_model.shards.disparity import labeled_pixels, normalized_disparity
from depth_model.shards.sample import TARGET_KINDS

NAN = np.nan


def row(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def sky(*values: int) -> np.ndarray:
    return np.array([values], bool)


@pytest.mark.parametrize("kind", ["metric_depth", "relative_depth"])
def test_depth_becomes_inverse_and_fills_the_unit_range(kind):
    disparity, valid = normalized_disparity(row(1, 2, 4, 8), kind)
    assert np.allclose(disparity, [[1, 0.428571, 0.142857, 0]], atol=1e-6)
    assert disparity.dtype == np.float32
    assert valid.all()


@pytest.mark.parametrize("kind", ["metric_depth", "relative_depth"])
def test_sky_without_a_label_is_at_infinity(kind):
    disparity, valid = normalized_disparity(row(1, 2, 4, 8, NAN), kind, sky(0, 0, 0, 0, 1))
    assert np.allclose(disparity, [[1, 0.5, 0.25, 0.125, 0]])
    assert valid.all()


def test_a_label_under_sky_is_kept():
    disparity, _ = normalized_disparity(row(1, 2, 4, 8, NAN), "metric_depth", sky(0, 1, 0, 0, 1))
    assert np.allclose(disparity, [[1, 0.5, 0.25, 0.125, 0]])


def test_disparity_is_not_inverted_and_its_sky_is_zero_before_scaling():
    assert np.allclose(normalized_disparity(row(1, 2, 5), "disparity")[0], [[0, 0.25, 1]])
    assert np.allclose(normalized_disparity(row(1, 2, 5, NAN), "disparity", sky(0, 0, 0, 1))[0], [[0.2, 0.4, 1, 0]])


def test_sky_of_affine_disparity_equals_the_farthest_pixel():
    disparity, valid = normalized_disparity(row(-3, -2, 1, NAN, NAN), "affine_disparity", sky(0, 0, 0, 1, 0))
    assert np.allclose(disparity, [[0, 0.25, 1, 0, 0]])
    assert valid.tolist() == [[True, True, True, True, False]]


def test_pixels_without_label_or_sky_are_not_valid():
    disparity, valid = normalized_disparity(row(1, 2, NAN, 0, -1, np.inf), "metric_depth", sky(0, 0, 0, 0, 0, 0))
    assert valid.tolist() == [[True, True, False, False, False, False]]
    assert disparity.tolist() == [[1, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("kind", TARGET_KINDS)
@pytest.mark.parametrize("with_sky", [False, True])
def test_a_part_is_scaled_over_the_whole_map(kind, with_sky):
    generator = np.random.default_rng(1)
    target = generator.uniform(0.5, 90, (20, 30)).astype(np.float32)
    target[generator.random(target.shape) < 0.3] = NAN
    above = generator.random(target.shape) < 0.2 if with_sky else None
    window = np.s_[3:9, 12:20]
    whole = normalized_disparity(target, kind, above)
    part = normalized_disparity(target, kind, above, lambda raster: raster[window])
    for one, other in zip(part, whole, strict=True):
        np.testing.assert_array_equal(one, other[window])


def test_codes_are_what_they_stand_for():
    codes = np.array([[1, 5, 0, 16383]], np.uint16)
    disparity, valid = normalized_disparity(codes, "affine_disparity")
    assert disparity.tolist() == [[0, np.float32(4 / 16382), 0, 1]]
    assert disparity.dtype == np.float32
    assert valid.tolist() == [[True, True, False, True]]
    for nothing in (np.zeros((1, 2), np.uint16), np.array([[0, 7]], np.uint16)):
        with pytest.raises(BadInput, match="degenerate"):
            normalized_disparity(nothing, "affine_disparity")


def test_the_scale_of_depth_does_not_matter():
    depth = np.random.default_rng(0).uniform(0.5, 90, (20, 30)).astype(np.float32)
    assert np.allclose(
        normalized_disparity(depth, "relative_depth")[0],
        normalized_disparity(depth * 37, "relative_depth")[0],
        atol=1e-6,
    )


def test_extreme_depths_stay_finite():
    disparity, _ = normalized_disparity(row(1e-42, 1, 3e38), "metric_depth")
    assert np.isfinite(disparity).all()
    assert disparity[0, 0] == 1


@pytest.mark.parametrize("kind", TARGET_KINDS)
@pytest.mark.parametrize("target", [row(NAN, NAN), row(3, 3), row(3, NAN), row(np.inf, np.inf)])
def test_a_map_without_two_disparities_is_bad_input(kind, target):
    with pytest.raises(BadInput, match="degenerate"):
        normalized_disparity(target, kind)


def test_what_counts_as_a_label_depends_on_the_kind():
    target = row(-1, 0, 1, NAN, np.inf)
    assert labeled_pixels(target, "metric_depth").tolist() == [[False, False, True, False, False]]
    assert labeled_pixels(target, "disparity").tolist() == [[False, True, True, False, False]]
    assert labeled_pixels(target, "affine_disparity").tolist() == [[True, True, True, False, False]]
    with pytest.raises(ValueError, match="height"):
        labeled_pixels(target, "height")
