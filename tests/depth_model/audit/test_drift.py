"""Distances between collections are those of the closed form, and 0 where nothing moved."""

from __future__ import annotations

import math

import pytest

from depth_model.audit.drift import compare, psi


def statistics(**changed):
    one = {"samples": 10, "histograms": {"size": [10, 0]}, "ranges": {"metric_depth": [1.0, 9.0]}, "refused": {}}
    return one | changed


def test_psi_is_the_closed_form():
    assert psi([5, 5], [50, 50]) == 0
    assert psi([3, 1], [1, 3]) == pytest.approx(2 * 0.5 * math.log(3))
    assert psi([3, 1], [1, 3]) == psi([1, 3], [3, 1])
    assert psi([1, 0], [0, 1]) == pytest.approx(2 * (1 - 1e-4) * math.log(1e4))
    assert psi([], []) == psi([0], [0]) == 0
    assert psi([], [1, 2]) == 1


def test_nothing_moved_is_no_distance():
    assert {one.distance for one in compare({"a": statistics()}, {"a": statistics()})} == {0}


@pytest.mark.parametrize(
    ("what", "changed", "distance"),
    [
        ("samples", {"samples": 15}, 0.5),
        ("range of metric_depth", {"ranges": {"metric_depth": [5.0, 17.0]}}, 0.75),
        ("range of metric_depth", {"ranges": {"metric_depth": [10.0, 17.0]}}, 1),
        ("range of metric_depth", {"ranges": {}}, 1),
        ("refused", {"refused": {"x": 10}}, (0.5 - 1e-4) * math.log(0.5 / 1e-4) - 0.5 * math.log(0.5)),
        ("size", {"histograms": {"size": [5, 5]}}, (0.5 - 1e-4) * math.log(0.5 / 1e-4) - 0.5 * math.log(0.5)),
        ("depth", {"histograms": {"size": [10, 0], "depth": [1]}}, 1),
    ],
)
def test_every_property_has_its_distance(what, changed, distance):
    found = {one.what: one.distance for one in compare({"a": statistics()}, {"a": statistics(**changed)})}
    assert found.pop(what) == pytest.approx(distance)
    assert not any(value for name, value in found.items() if name not in ("refused",)), found


def test_added_and_removed_sources_are_named():
    found = compare({"a": statistics()}, {"b": statistics()})
    assert [(one.source, one.what) for one in found] == [("b", "added"), ("a", "removed")]
