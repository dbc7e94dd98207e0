"""A written video, read back frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.media.video import video_file
from depth_model.reading.video import announced_frames, frame_rate, frames

COLORS = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 63)])
def test_frames_come_back_in_order_and_color(tmp_path, height, width):
    with video_file(tmp_path / "a.mp4", 12.5, height, width) as add:
        for color in COLORS:
            add(np.full((height, width, 3), color, np.uint8))
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]
    assert (announced_frames(tmp_path / "a.mp4"), frame_rate(tmp_path / "a.mp4")) == (3, 12.5)
    for found, color in zip(frames(tmp_path / "a.mp4"), COLORS, strict=True):
        assert found.shape == (height + height % 2, width + width % 2, 3)
        assert np.abs(found.astype(int) - color).max() < 16


def test_nothing_is_left_of_a_video_that_was_not_finished(tmp_path):
    with pytest.raises(ZeroDivisionError), video_file(tmp_path / "a.mp4", 5, 48, 64) as add:
        add(np.zeros((48, 64, 3), np.uint8))
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []
