"""Metrics against the check values their directions and their limits."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.evaluation import METRICS, depth_metrics


def test_check_values_of_the_metrics():  # docs/paper.md A.9
    measured = depth_metrics(np.array([1.0, 2, 4, 5]), np.array([1.1, 1.8, 4.4, 5.5]))
    assert measured["delta1"] == 1
    assert measured["abs_rel"] == pytest.approx(0.0959596, abs=1e-7)
    assert measured["rmse"] == pytest.approx(0.3391165, abs=1e-7)
    assert measured["log10"] == pytest.approx(0.0424839, abs=1e-7)
    assert measured["silog"] == pytest.approx(8.6893, abs=1e-4)


def test_every_metric_knows_its_direction():
    target = np.random.default_rng(0).uniform(1, 10, 500)
    good, bad = (depth_metrics(target * (1 + share * np.cos(np.arange(500))), target) for share in (0.1, 0.8))
    assert list(good) == [metric.key for metric in METRICS]
    for metric in METRICS:
        assert metric.better(good[metric.key], bad[metric.key]), metric
        assert not metric.better(bad[metric.key], good[metric.key]), metric
        assert not metric.better(good[metric.key], good[metric.key]), metric


def test_delta_is_strict_at_its_threshold():
    assert depth_metrics(np.array([1.25, 1.24]), np.ones(2))["delta1"] == 0.5


def test_scale_alone_leaves_silog_at_zero():
    target = np.random.default_rng(0).uniform(1, 10, 50)
    assert depth_metrics(3 * target, target)["silog"] == pytest.approx(0, abs=1e-6)
