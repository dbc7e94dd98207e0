"""Boundary F1 against plain loops over pairs of pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage

from depth_model.metrics.boundaries import boundary_f1


def slow_f1(prediction, target):
    """The definition pixel by pixel: four directions, ten thresholds, weights proportional to the threshold."""
    height, width = target.shape
    total = weight = 0.0
    for threshold in [1.05 + 0.2 * step / 9 for step in range(10)]:
        precision = recall = 0.0
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            found = there = both = 0
            for row in range(height):
                for column in range(width):
                    other = row + down, column + right
                    if not (0 <= other[0] < height and 0 <= other[1] < width):
                        continue
                    if math.isnan(target[other]) or math.isnan(target[row, column]):
                        continue
                    hit = prediction[other] / prediction[row, column] > threshold
                    true = target[other] / target[row, column] > threshold
                    found, there, both = found + hit, there + true, both + (hit and true)
            precision += both / max(found, 1) / 4
            recall += both / max(there, 1) / 4
        total += threshold * (2 * precision * recall / (precision + recall) if precision + recall else 0)
        weight += threshold
    return total / weight


@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_plain_loops(seed):
    generator = np.random.default_rng(seed)
    target = np.repeat(np.repeat(generator.uniform(1, 1.6, (3, 4)), 4, 0), 5, 1)
    target[generator.random(target.shape) < 0.1] = np.nan
    prediction = np.nan_to_num(target, nan=1) * generator.uniform(0.97, 1.05, target.shape)
    assert 0 < boundary_f1(prediction, target) < 1
    assert boundary_f1(prediction, target) == pytest.approx(slow_f1(prediction, target), rel=1e-9)


def test_a_sharp_edge_beats_a_blurred_one_whatever_the_scale():
    target = np.ones((20, 20))
    target[5:15, 5:15] = 3
    blurred = scipy.ndimage.gaussian_filter(target, 1)
    assert boundary_f1(7 * target, target) == 1
    assert 0 < boundary_f1(blurred, target) < 0.8


def test_a_truth_without_contours_has_no_score():
    assert np.isnan(boundary_f1(np.random.default_rng(0).uniform(1, 9, (9, 9)), np.ones((9, 9))))
