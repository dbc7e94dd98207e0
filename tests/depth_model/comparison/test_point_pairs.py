"""Pairs of points counted by hand on a ramp of depth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from depth_model.comparison.point_pairs import accuracies, evaluate_pairs
from depth_model.prediction.estimator import Estimator

NEAR_LEFT = {"point1": [5, 3], "point2": [9, 20], "closer_point": "point1"}
NEAR_RIGHT = {"point1": [5, 3], "point2": [9, 20], "closer_point": "point2"}
OUTSIDE = {"point1": [5, 3], "point2": [24, 20], "closer_point": "point2"}


@pytest.fixture
def root(tmp_path):
    """Pictures that get darker to the right: a prediction of disparity by brightness puts the left nearer."""
    pixels = np.tile(np.arange(255, 255 - 32, -1, np.uint8), (24, 1))
    for name in ("indoor/a.png", "outdoor/b.png", "outdoor/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    content = {
        "indoor/a.png": [NEAR_LEFT, NEAR_LEFT, NEAR_RIGHT],
        "outdoor/b.png": [NEAR_LEFT],
        "outdoor/c.png": [OUTSIDE],
        "outdoor/d.png": [NEAR_LEFT],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize(("space", "first"), [("disparity", 2 / 3), ("depth", 1 / 3)])
def test_accuracy_is_the_share_of_right_pairs(root, space, first):
    brightness = Estimator(space, lambda image, names: image[:, :, 0].astype(np.float32))
    calls = []
    table, skipped = evaluate_pairs(brightness, root, calls.append)
    assert len(calls) == 4
    found = {scene: (accuracy, pairs) for scene, accuracy, pairs in accuracies(table)}
    assert found["indoor"] == (pytest.approx(first), 3)
    assert found["outdoor"] == (space == "disparity", 1)
    assert found["all"] == (pytest.approx((3 * first + (space == "disparity")) / 4), 4)
    assert [one["key"] for one in skipped] == ["outdoor/c", "outdoor/d"]
    assert "outside" in skipped[0]["reason"]


def test_a_tie_is_wrong(root):
    flat = Estimator("disparity", lambda image, names: np.ones(image.shape[:2], np.float32))
    assert evaluate_pairs(flat, root, lambda count: None)[0]["right"].sum() == 0
