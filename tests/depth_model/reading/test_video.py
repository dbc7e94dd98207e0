"""Frames of videos written by OpenCV's encoder."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depth_model.errors import BadInput
from depth_model.reading.video import announced_frames, frames

LEVELS = [20, 90, 160, 230]


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "gray.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for level in LEVELS:
        writer.write(np.full((48, 64, 3), (0, 0, level), np.uint8))  # red, as OpenCV orders channels
    writer.release()
    return path


def test_frames_come_in_order_with_red_first(video):
    found = list(frames(video))
    assert announced_frames(video) == len(found) == len(LEVELS)
    for image, level in zip(found, LEVELS, strict=True):
        assert image.shape == (48, 64, 3) and image.dtype == np.uint8
        np.testing.assert_allclose(image.mean((0, 1)), [level, 0, 0], atol=6)


@pytest.mark.parametrize("content", [b"", b"not a video", b"RIFF" + bytes(200)])
def test_what_is_no_video_is_refused(tmp_path, content):
    path = tmp_path / "broken.avi"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="video"):
        list(frames(path))


def test_a_missing_video_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        announced_frames(tmp_path / "nowhere.mp4")
