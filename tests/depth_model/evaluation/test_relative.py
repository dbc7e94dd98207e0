"""Alignment and metrics against numpy's solver, plain loops and the check values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depth_model.datasets.sample import BadInput
from depth_model.evaluation import align_disparity, depth_metrics, relative_depth_metrics
from depth_model.evaluation.protocols import GENERIC, Protocol, true_depth


def test_check_values_of_the_alignment():  # paper.md, appendix A 11
    depth, prediction = np.array([2.0, 4, 5, 10]), np.array([9, 5.1, 4.2, 2.4])
    scale, shift = align_disparity(prediction, 1 / depth)
    assert scale == pytest.approx(0.061031, abs=1e-6)
    assert shift == pytest.approx(-0.053333, abs=1e-6)
    aligned = 1 / (scale * prediction + shift)
    np.testing.assert_allclose(aligned, [2.016365, 3.877131, 4.926226, 10.736515], atol=1e-6)
    assert depth_metrics(aligned, depth)["abs_rel"] == pytest.approx(0.0318265, abs=1e-7)


def test_check_values_of_the_metrics():  # paper.md, appendix A 9
    measured = depth_metrics(np.array([1.0, 2, 4, 5]), np.array([1.1, 1.8, 4.4, 5.5]))
    assert measured["delta1"] == 1
    assert measured["abs_rel"] == pytest.approx(0.0959596, abs=1e-7)
    assert measured["rmse"] == pytest.approx(0.3391165, abs=1e-7)
    assert measured["log10"] == pytest.approx(0.0424839, abs=1e-7)
    assert measured["silog"] == pytest.approx(8.6893, abs=1e-4)


def slow_metrics(prediction, depth, low, high):
    """The whole protocol in plain Python, with numpy's own least squares."""
    pairs = [(p, d) for p, d in zip(prediction.ravel().tolist(), depth.ravel().tolist()) if low < d < high]
    matrix = np.array([[p, 1.0] for p, _ in pairs])
    (scale, shift), *_ = np.linalg.lstsq(matrix, np.array([1 / d for _, d in pairs]), rcond=None)
    estimates = []
    for p, d in pairs:
        disparity = scale * p + shift
        estimates.append((min(max(1 / disparity, low), high) if disparity > 0 else high, d))
    count = len(estimates)
    error = [math.log(p) - math.log(d) for p, d in estimates]
    return {
        "abs_rel": sum(abs(p - d) / d for p, d in estimates) / count,
        "delta1": sum(max(p / d, d / p) < 1.25 for p, d in estimates) / count,
        "delta3": sum(max(p / d, d / p) < 1.25**3 for p, d in estimates) / count,
        "rmse": math.sqrt(sum((p - d) ** 2 for p, d in estimates) / count),
        "log10": sum(abs(math.log10(p) - math.log10(d)) for p, d in estimates) / count,
        "silog": 100 * math.sqrt(sum(e * e for e in error) / count - (sum(error) / count) ** 2),
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_protocol_agrees_with_plain_loops(seed):
    generator = np.random.default_rng(seed)
    depth = generator.uniform(0.5, 100, (20, 30)).astype(np.float32)
    depth[generator.random(depth.shape) < 0.4] = np.nan
    prediction = (3 / depth + generator.normal(0, 0.3, depth.shape) + 2).astype(np.float32)
    prediction[np.isnan(prediction)] = 1
    measured = relative_depth_metrics(prediction, depth, "metric_depth", GENERIC)
    for name, expected in slow_metrics(prediction, depth, GENERIC.minimum, GENERIC.maximum).items():
        assert measured[name] == pytest.approx(expected, rel=1e-9), name


def test_an_affine_copy_of_the_truth_is_perfect():
    depth = np.random.default_rng(0).uniform(1, 10, (16, 16))
    measured = relative_depth_metrics(7 / depth + 3, depth, "metric_depth", GENERIC)
    assert measured["abs_rel"] == pytest.approx(0, abs=1e-9)
    assert measured["delta1"] == 1


def test_a_constant_gets_the_best_constant():
    depth = np.random.default_rng(0).uniform(1, 10, (16, 16))
    level = 1 / np.mean(1 / depth)
    measured = relative_depth_metrics(np.zeros_like(depth), depth, "metric_depth", GENERIC)
    assert measured["abs_rel"] == pytest.approx(np.mean(np.abs(level - depth) / depth))


def test_a_disparity_truth_is_blind_to_its_scale():
    generator = np.random.default_rng(0)
    disparity = generator.uniform(1, 90, (16, 16))
    prediction = disparity + generator.normal(0, 5, disparity.shape)
    one = relative_depth_metrics(prediction, disparity, "disparity", GENERIC)
    other = relative_depth_metrics(prediction, disparity * 1000, "disparity", GENERIC)
    for name in ("abs_rel", "delta1", "silog"):
        assert one[name] == pytest.approx(other[name], rel=1e-6)


def test_truth_out_of_range_and_too_little_of_it():
    depth = np.full((8, 8), 100.0)
    with pytest.raises(BadInput, match="0 pixels of truth"):
        relative_depth_metrics(np.ones((8, 8)), depth, "metric_depth", GENERIC)
    assert relative_depth_metrics(np.ones((8, 8)), depth, "metric_depth", Protocol(1e-3, 200))["abs_rel"] == 0


def test_a_prediction_that_is_not_finite_is_refused():
    with pytest.raises(BadInput, match="not finite"):
        relative_depth_metrics(np.full((8, 8), np.nan), np.ones((8, 8)), "metric_depth", GENERIC)


def test_affine_disparity_has_no_depth():
    with pytest.raises(ValueError, match="affine_disparity"):
        true_depth(np.ones((2, 2)), "affine_disparity")
