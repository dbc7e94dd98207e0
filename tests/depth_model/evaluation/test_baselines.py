"""The constant that metric models stand beside."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.evaluation.baselines import constant_depth


class Stored:
    """Targets as a collected source would give them."""

    folder = "metric/nowhere"

    def __init__(self, *targets):
        self._targets = targets

    def __len__(self):
        return len(self._targets)

    def target(self, index):
        return self._targets[index]


def test_it_is_the_median_of_all_labels_and_ignores_the_image():
    first = np.full((16, 16), 2.0, np.float32)
    second = np.full((16, 24), 5.0, np.float32)
    second[:, :9] = np.nan
    constant = constant_depth(Stored(first, None, second))
    assert constant.space == "metric_depth"
    for image in (np.zeros((4, 4, 3), np.uint8), np.ones((9, 7, 3), np.uint8)):
        assert constant.predict(image, "any").item() == np.median([2, 2, 2, 2, 5, 5])


def test_without_a_label_there_is_none():
    with pytest.raises(ValueError, match="no sample has a depth"):
        constant_depth(Stored(np.full((8, 8), np.nan, np.float32)))
