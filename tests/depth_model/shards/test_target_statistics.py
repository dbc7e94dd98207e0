"""The statistics of a source count what closed forms and NumPy's histogram count, in any order of the parts."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.shards import target_statistics
from depth_model.shards.target_statistics import DEPTH_EDGES


def row(target, kind):
    known = target[np.isfinite(target) & (target > 0)]
    return {
        "height": target.shape[0],
        "width": target.shape[1],
        "target_kind": kind,
        "minimum": float(known.min()),
        "maximum": float(known.max()),
        "valid_fraction": known.size / target.size,
    }


def test_depth_and_disparity_are_those_of_numpy():
    target = np.random.default_rng(1).uniform(0.005, 2000, (40, 30)).astype(np.float32)
    target[:10] = np.nan
    found = target_statistics.of_sample(row(target, "metric_depth"), target)["histograms"]
    known = target[10:].astype(np.float64).ravel()
    expected, _ = np.histogram(known, np.concatenate([[0], DEPTH_EDGES, [np.inf]]))
    assert found["depth"].tolist() == expected.tolist()
    assert found["depth"][-1] > 0
    disparity = 1 / known
    scaled = (disparity - disparity.min()) / (disparity.max() - disparity.min())
    expected, _ = np.histogram(scaled, 20, (0, 1))
    assert np.abs(found["disparity"] - expected).sum() <= 2  # rounding at an edge
    assert found["valid_fraction"].nonzero()[0].tolist() == [15]
    assert found["size"].nonzero()[0].tolist() == [2]  # 1200 pixels, from 2^10


@pytest.mark.parametrize("kind", ["disparity", "affine_disparity"])
def test_a_ramp_of_disparity_fills_its_bins_evenly_and_has_no_depth(kind):
    target = np.arange(1, 401, dtype=np.float32).reshape(20, 20)
    found = target_statistics.of_sample(row(target, kind), target)
    assert "depth" not in found["histograms"]
    assert np.abs(found["histograms"]["disparity"] - 20).max() <= 1
    assert found["ranges"] == {kind: [1.0, 400.0]}


def test_a_large_target_counts_as_many_pixels_as_a_smaller_one():
    target = np.linspace(1, 9, 700 * 300, dtype=np.float32).reshape(700, 300)
    found = target_statistics.of_sample(row(target, "metric_depth"), target)["histograms"]
    assert found["depth"].sum() == found["disparity"].sum() == 234 * 150


def test_parts_add_up_in_any_order():
    generator = np.random.default_rng(2)
    targets = [generator.uniform(1, 9, (8, 8)).astype(np.float32) for _ in range(6)]
    parts = [target_statistics.of_sample(row(one, "metric_depth"), one) for one in targets]
    parts.append(
        target_statistics.refused(["no pixel has a label: x", "image of 3 x 4 pixels", "image of 5 x 6 pixels"])
    )
    whole = target_statistics.total(parts)
    halves = [target_statistics.total(parts[4:]), target_statistics.total(parts[:4])]
    assert whole == target_statistics.total(halves)
    assert whole["samples"] == 6
    assert whole["refused"] == {"image of N x N pixels": 2, "no pixel has a label: x": 1}
    assert target_statistics.degenerate(whole) == 1
    assert whole["ranges"]["metric_depth"] == [min(map(np.min, targets)), max(map(np.max, targets))]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("duplicated key 'a/b 1'", "duplicated key '...'"),
        ("all 12 labeled pixels have the value 1.5e-05: no", "all N labeled pixels have the value N: no"),
        ("target of shape (3, 4)", "target of shape (N, N)"),
    ],
)
def test_reasons_that_differ_in_their_input_only_are_one_class(reason, expected):
    assert target_statistics.reason_class(reason) == expected


def test_the_median_lies_in_its_bin():
    assert target_statistics.median_bin([1, 0, 5, 1]) == 2
    with pytest.raises(ValueError, match="no median"):
        target_statistics.median_bin([0, 0])
