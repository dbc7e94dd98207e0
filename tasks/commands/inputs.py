"""What `depth-anything predict` is given: pictures and videos, by name, folder or pattern, and where results go."""

from __future__ import annotations

import argparse
import errno
import glob
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from depth_model.errors import BadInput, UserError
from depth_model.reading.inputs import IMAGE_PATTERNS
from depth_model.shards.folder import Folder, LinkedRoot
from depth_model.shown import shown

PICTURES = tuple(pattern.removeprefix("*") for pattern in IMAGE_PATTERNS)
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")


def is_video(path: Path) -> bool:
    """Whether `path` is taken for a video, by its suffix."""
    return path.suffix.lower() in VIDEOS


def inputs(given: list[str]) -> dict[Path, Path]:
    """Return place among the results -> file, of files, of everything below folders and of patterns, in order.

    A pattern is what the shell knows (`*`, `?`, `[a-z]`, `**` for any folders), for shells that leave it to programs. A
    file found in a folder keeps its place below that folder; links are followed, names with a leading dot do not count,
    and what else is left out is told on stderr. Raises UserError for a path that is not there, for two files with one
    place, of which one would overwrite the other, and for a folder that cannot be read.
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
    return shown(f"{path}: {by_option(said)}")


def by_option(said: str) -> str:
    """Return what was said with the option of `decode_budget_argument` in place of the parameter."""
    return said.replace("collect.decode_budget", "--decode-budget")


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
    others: Counter[str] = Counter()
    for name, entry, reason in sorted(Folder(LinkedRoot(path)).everything(), key=lambda one: Path(one[0])):
        place = Path(name)
        if entry is None:
            raise UserError(shown(f"{path / place}: {reason}"))
        if reason:
            print(shown(f"left out: {path / place}: {reason}"), file=sys.stderr)
        elif place.suffix.lower() in PICTURES + VIDEOS:
            yield path / place, place
        else:
            others[place.suffix.lower() or "no suffix"] += 1
    if others:
        kinds = ", ".join(f"{count} of {suffix}" for suffix, count in others.most_common())
        print(shown(f"left out: in {path} what has no suffix of a picture or video: {kinds}"), file=sys.stderr)
