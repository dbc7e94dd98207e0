"""Frames of a video file as images, in order or by number."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from depth_model.errors import BadInput

MAX_PIXELS = 2**26


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


_forward = threading.local()


def frame(path: Path, number: int) -> np.ndarray:
    """Return frame `number` (from 0) of a video as `frames` yields it, uint8 (H, W, 3) RGB.

    Every frame before it is decoded: seeking lands on another frame in some files. The video stays open for the next
    call of the same thread, so that frames in order are decoded once in all. Raises BadInput as `frames` does, when
    the video ends before this frame, and for frames of more than MAX_PIXELS pixels.
    """
    if not (getattr(_forward, "path", None) == path and _forward.following <= number):
        _close_forward()
        _forward.video, _forward.following, _forward.path = _opened(path), 0, path
        _check_size(_forward.video)
    while _forward.following <= number:
        if not _forward.video.grab():
            ends = _forward.following
            _close_forward()
            raise BadInput(f"frame {number} cannot be read: the video ends or is damaged after {ends} frames")
        _forward.following += 1
    found, image = _forward.video.retrieve()
    if not found:
        raise BadInput(f"frame {number} cannot be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _close_forward() -> None:
    if getattr(_forward, "path", None) is not None:
        _forward.path = None
        _forward.video.release()


def _check_size(video: cv2.VideoCapture) -> None:
    width, height = (int(video.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_PIXELS:
        raise BadInput(f"frames of {height} x {width} pixels: at most {MAX_PIXELS} are read")


def _opened(path: Path) -> cv2.VideoCapture:
    with path.open("rb"):  # OpenCV says nothing of a file that is missing or may not be read.
        pass
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not video.isOpened():
        raise BadInput("cannot be read as a video: it is broken, or of a format that OpenCV lacks")
    return video
