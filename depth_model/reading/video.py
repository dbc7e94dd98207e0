"""Frames of a video file as images, in order or by number.

FFmpeg tells a format by content and some of its formats name other files to read; so only containers that hold their
frames are opened, told by their first bytes and by FFmpeg's own list. Everything is decoded apart.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from depth_model.errors import BadInput
from depth_model.shards import decoding, images
from depth_model.shards.apart import apart

_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
"""What may stand first in MP4 and QuickTime files, at byte 4."""

_MATROSKA = b"\x1a\x45\xdf\xa3"
_ALLOWED = "protocol_whitelist;file|format_whitelist;mov,mp4,avi,matroska,webm"
_LEAST = 16
"""Bytes of the smallest frame: an entry of an AVI's index. A head that announces more frames does not say the truth."""

_SECONDS = 3600
_FASTEST = 1000
"""Frames per second of a video."""


@apart(_SECONDS)
def announced_frames(path: Path) -> int:
    """Return how many frames the head of a video announces, which some files only estimate; at least 1.

    Frames are counted where the head announces more than the file has room for. Raises BadInput as `frames` does.
    """
    video = _opened(path)
    try:
        announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        most = path.stat().st_size // _LEAST
        if announced > most:
            announced = next((number for number in range(most) if not video.grab()), most)
        return max(1, announced)
    finally:
        video.release()


@apart(_SECONDS)
def frame_rate(path: Path) -> float:
    """Return the frames per second that the head of a video announces, 25 where it says nothing that can be.

    Raises BadInput as `frames` does.
    """
    video = _opened(path)
    try:
        rate = float(video.get(cv2.CAP_PROP_FPS))
        return rate if 0 < rate <= _FASTEST else 25.0
    finally:
        video.release()


def frames(path: Path, step: int = 1) -> Iterator[np.ndarray]:
    """Yield the frames of a video, or every `step`-th, as uint8 (H, W, 3) RGB, upright, one at a time.

    Raises FileNotFoundError for a path that leads nowhere, BadInput for a file that OpenCV cannot read as a video, for
    one without a single frame and for frames beyond the decode budget.
    """
    number = 0
    while (image := _at(path, number)) is not None:
        yield image
        number += step
    if not number:
        raise BadInput("not one frame of the video can be read")


@apart(_SECONDS)
def jpeg_frame(path: Path, number: int) -> bytes:
    """Return frame `number` (from 0) of a video as `frames` yields it, as JPEG of quality 95.

    Every frame before it is decoded: seeking lands on another frame in some files. The video stays open for the next
    call of the same thread, so that frames in order are decoded once in all. Raises BadInput as `frames` does and when
    the video ends before this frame.
    """
    image = _at(path, number)
    if image is None:
        raise BadInput(f"frame {number} cannot be read: the video ends or is damaged before it")
    return images.encode_jpeg(image)


_forward = threading.local()


@apart(_SECONDS)
def _at(path: Path, number: int) -> np.ndarray | None:
    """Return frame `number`, None when the video ends before it."""
    if not (getattr(_forward, "path", None) == path and _forward.following <= number):
        _close_forward()
        _forward.video, _forward.following, _forward.path = _opened(path), 0, path
    while _forward.following <= number:
        if not _forward.video.grab():
            _close_forward()
            return None
        _forward.following += 1
    found, image = _forward.video.retrieve()
    if not found:
        raise BadInput(f"frame {number} cannot be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _close_forward() -> None:
    if getattr(_forward, "path", None) is not None:
        _forward.path = None
        _forward.video.release()


def _opened(path: Path) -> cv2.VideoCapture:
    _check_container(path)
    # Read by OpenCV as it opens a file; nothing else in the process that decodes needs it.
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = _ALLOWED
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not video.isOpened():
        raise BadInput("cannot be read as a video: it is broken, or of a format that OpenCV lacks")
    width, height = (int(video.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    decoding.check(3 * width * height, f"frames of {height} x {width} pixels")
    return video


def _check_container(path: Path) -> None:
    with path.open("rb") as handle:  # OpenCV says nothing of a file that is missing or may not be read
        head = handle.read(12)
    if not head:
        raise BadInput("not a video: empty file (0 bytes)")
    if head[4:8] not in _BOXES and not head.startswith(_MATROSKA) and not (head[:4] == b"RIFF" and head[8:] == b"AVI "):
        raise BadInput("not a video in a known container (MP4, QuickTime, AVI, Matroska, WebM)")
