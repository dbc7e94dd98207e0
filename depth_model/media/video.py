"""Writing a video that browsers and players open: VP9 in an MP4 file, without sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from depth_model import files
from depth_model.errors import UserError

CODEC = "vp09"
"""H.264 is not in the FFmpeg that comes with OpenCV; MPEG-4 Part 2 is, and no browser plays it."""


@contextmanager
def video_file(path: Path, rate: float, height: int, width: int) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield what adds a frame, uint8 (height, width, 3) RGB, to the new video `path` of `rate` frames a second.

    The file appears whole or not at all; an odd side is a pixel longer in it. Raises UserError where OpenCV cannot
    write it.
    """
    more = height % 2, width % 2
    with files.atomic_path(path) as temporary:
        named = temporary.with_name(f"{temporary.name}.mp4")  # OpenCV knows a container by its suffix
        size = width + more[1], height + more[0]
        video = cv2.VideoWriter(str(named), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*CODEC), rate, size)
        try:
            if not video.isOpened():
                raise UserError(f"{path}: this build of OpenCV writes no VP9 video; ask for frames instead (--frames)")
            yield lambda frame: video.write(_even(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), more))
            video.release()
            os.replace(named, temporary)
        finally:
            video.release()
            named.unlink(missing_ok=True)


def _even(frame: np.ndarray, more: tuple[int, int]) -> np.ndarray:
    return np.pad(frame, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge") if any(more) else frame
