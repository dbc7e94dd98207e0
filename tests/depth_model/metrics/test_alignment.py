"""Scale and shift against numpy's solver and the check values."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.evaluation import align_disparity, depth_metrics
from depth_model.metrics.alignment import is_constant


def test_check_values_of_the_alignment():  # docs/paper.md A.11
    depth, prediction = np.array([2.0, 4, 5, 10]), np.array([9, 5.1, 4.2, 2.4])
    scale, shift = align_disparity(prediction, 1 / depth)
    assert scale == pytest.approx(0.061031, abs=1e-6)
    assert shift == pytest.approx(-0.053333, abs=1e-6)
    aligned = 1 / (scale * prediction + shift)
    np.testing.assert_allclose(aligned, [2.016365, 3.877131, 4.926226, 10.736515], atol=1e-6)
    assert depth_metrics(aligned, depth)["abs_rel"] == pytest.approx(0.0318265, abs=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_the_closed_form_agrees_with_numpys_least_squares(seed):
    generator = np.random.default_rng(seed)
    prediction, target = generator.normal(100, 1, (2, 30, 40)).astype(np.float32)
    mask = generator.random(target.shape) < 0.2
    matrix = np.stack([prediction[mask], np.ones(mask.sum())], 1).astype(np.float64)
    expected = np.linalg.lstsq(matrix, target[mask].astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(align_disparity(prediction, target, mask), expected, rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 7e-5, 123.4567])
def test_a_constant_gets_scale_zero_and_the_mean(value):
    target = np.random.default_rng(0).uniform(0.01, 2, 12345)
    prediction = np.full(target.shape, value, np.float32)
    prediction[::2] *= np.float32(1 + 2e-7)  # the rounding that resizing does to a constant map
    assert is_constant(prediction)
    assert align_disparity(prediction, target) == (0, target.mean())


def test_a_small_slope_is_no_constant():
    prediction = np.float32(1) + np.linspace(0, 1e-4, 100, dtype=np.float32)
    assert not is_constant(prediction)
    assert align_disparity(prediction, prediction)[0] == pytest.approx(1)


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="no pixel"):
        align_disparity(np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2), bool))
