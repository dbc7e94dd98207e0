"""KITTI's benchmark crop against the devkit's numbers."""

from __future__ import annotations

import pytest

from depth_model.errors import BadInput
from depth_model.metrics.benchmark_crop import kb_window


def test_the_crop_is_low_and_in_the_middle():
    assert kb_window(375, 1242) == (slice(23, 375), slice(13, 1229))
    assert kb_window(352, 1216) == (slice(0, 352), slice(0, 1216))


@pytest.mark.parametrize("shape", [(351, 1242), (375, 1215)])
def test_a_smaller_picture_is_refused(shape):
    with pytest.raises(BadInput, match=f"{shape[0]} x {shape[1]}"):
        kb_window(*shape)
