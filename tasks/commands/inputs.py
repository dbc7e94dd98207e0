"""What `depth-anything predict` is given: pictures and videos, by name, folder or pattern, and where results go."""

from __future__ import annotations

import errno
import glob
from collections.abc import Iterator
from pathlib import Path

from depth_model.errors import UserError
from depth_model.reading.inputs import IMAGE_PATTERNS
from depth_model.shown import shown

PICTURES = tuple(pattern.removeprefix("*") for pattern in IMAGE_PATTERNS)
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")


def is_video(path: Path) -> bool:
    """Whether `path` is taken for a video, by its suffix."""
    return path.suffix.lower() in VIDEOS


def inputs(given: list[str]) -> dict[Path, Path]:
    """Return place among the results -> file, of files, of everything below folders and of patterns, in order.

    A pattern is what the shell knows (`*`, `?`, `[a-z]`, `**` for any folders), for shells that leave it to programs. A
    file found in a folder keeps its place below that folder. Raises UserError for a path that is not there and for two
    files with one place, of which one would overwrite the other.
    """
    found: dict[Path, Path] = {}
    for path, place in (one for text in given for named in _named(text) for one in _below(named)):
        if found.setdefault(place, path) != path:
            raise UserError(
                shown(f"{found[place]} and {path} would both be written to {place}; name the folder above them instead")
            )
    return found


def refusal(path: Path, error: Exception) -> str:
    """Return the line on a picture that could not be read or written.

    A fault of the folder for the results (a full disk) is raised again: no other picture would fare better.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        raise error
    return shown(f"{path}: {getattr(error, 'strerror', None) or error}")


def _named(text: str) -> list[Path]:
    if Path(text).exists():
        return [Path(text)]
    matching = sorted(glob.glob(text, recursive=True))
    if not matching:
        raise UserError(f"{shown(text)}: there is no such file or folder")
    return [Path(one) for one in matching]


def _below(path: Path) -> Iterator[tuple[Path, Path]]:
    if path.is_file():
        yield path, Path(path.name)
        return
    for one in sorted(path.rglob("*")):
        if one.is_file() and one.suffix.lower() in PICTURES + VIDEOS:
            yield one, one.relative_to(path)
