"""What `depth-anything predict` is given: pictures and videos, by name, folder or pattern, and where results go."""

from __future__ import annotations

import argparse
import errno
import glob
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from depth_model.errors import BadInput, UserError
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
    files with one place, of which one would overwrite the other, OSError for a folder that cannot be read.
    """
    found: dict[Path, Path] = {}
    for path, place in (one for text in given for named in _named(text) for one in _below(named)):
        if found.setdefault(place, path) != path:
            raise UserError(
                shown(f"{found[place]} and {path} would both be written to {place}; name the folder above them instead")
            )
    return found


def decode_budget_argument(parser: argparse.ArgumentParser, default: str = "1GB") -> None:
    """Add the option --decode-budget, in bytes."""
    parser.add_argument(
        "--decode-budget",
        type=size,
        default=default,
        metavar="SIZE",
        help=f"what one file may decode to, like 500MB; larger ones are refused (default: {default})",
    )


def each(verb: str, found: dict[Path, Path], budget: int, work: Callable[[Path, Path], None]) -> None:
    """Do `work(place, path)` for everything that `inputs` found, whose files may decode to `budget` bytes each.

    One that fails, for whatever reason, does not keep the others from it. Raises UserError at the end that names and
    counts them; a fault of the folder for the results (a full disk) is raised at once, as no other would fare better.
    """
    from depth_model.progress import progress_bar
    from depth_model.shards import decoding

    failed = []
    with progress_bar(verb, len(found), "files") as bar, decoding.limited_to(budget):
        for place, path in found.items():
            try:
                work(place, path)
            except Exception as error:
                failed.append(_failure(path, error))
            bar.update()
    if failed:
        raise UserError("\n".join([*failed, f"{len(failed)} of {len(found)} files failed"]))


def _failure(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        raise error
    if not isinstance(error, (BadInput, OSError)):
        return shown(f"{path}: {type(error).__name__}: {error}")
    said = getattr(error, "strerror", None) or str(error)
    return shown(f"{path}: {said.replace('collect.decode_budget', '--decode-budget')}")


def size(text: str) -> int:
    """Return the bytes that a text like `500MB` names."""
    from depth_model.shards import decoding

    try:
        return decoding.bytes_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
    for one in sorted(Path(folder, name) for folder, _, names in os.walk(path, onerror=_raised) for name in names):
        if one.suffix.lower() in PICTURES + VIDEOS and one.is_file():
            yield one, one.relative_to(path)


def _raised(error: OSError) -> None:
    raise error
