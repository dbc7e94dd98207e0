"""Frames of a video file, in order, as images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from depth_model.datasets.sample import BadInput


def announced_frames(path: Path) -> int:
    """Return how many frames the head of a video announces, which some files only estimate; at least 1.

    Raises BadInput as `frames` does.
    """
    video = _opened(path)
    try:
        return max(1, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
    finally:
        video.release()


def frames(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames of a video as uint8 (H, W, 3) RGB, upright, one at a time.

    Raises FileNotFoundError for a path that leads nowhere, BadInput for a file that OpenCV cannot read as a video and
    for one without a single frame.
    """
    video, count = _opened(path), 0
    try:
        while True:
            found, image = video.read()
            if not found:
                break
            count += 1
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    finally:
        video.release()
    if not count:
        raise BadInput("not one frame of the video can be read")


def _opened(path: Path) -> cv2.VideoCapture:
    with path.open("rb"):  # OpenCV says nothing of a file that is missing or may not be read.
        pass
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not video.isOpened():
        raise BadInput("cannot be read as a video: it is broken, or of a format that OpenCV lacks")
    return video
