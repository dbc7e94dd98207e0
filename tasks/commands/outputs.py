"""The one guard of everything that a command writes at `-o`.

A command never writes into what it reads, and replaces only files that it made itself: those are written down in
`.depth-anything.made` beside them, with their size and time. `--force` lifts both.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from depth_model import files
from depth_model.errors import BadInput

RECORD = ".depth-anything.made"


def add_out(one: argparse.ArgumentParser, what: str, *reads: str, default: Path | None = None) -> None:
    """Add `-o` and `--force` to a subcommand; `what` is its help, `reads` are the arguments that name its inputs."""
    one.add_argument("-o", "--out", type=Path, required=default is None, default=default, help=what)
    one.add_argument("--force", action="store_true", help="replace files that this command did not make, too")
    one.set_defaults(reads=reads)


@contextmanager
def guarded(given: argparse.Namespace, is_file: bool = False) -> Iterator[None]:
    """Watch over what is written at or below `given.out` meanwhile; commands without `-o` are left alone.

    `is_file` says that `given.out` is one file. Raises BadInput for outputs inside inputs, files that the command did
    not make, and a folder that cannot be written to.
    """
    out: Path | None = getattr(given, "out", None)
    if out is None:
        yield
        return
    for text in _texts(given):
        for path in _named(text):
            _check_apart(out, path, is_file, given.force)
    folder = out.parent if is_file else out
    is_new = not folder.exists()
    record = _opened(folder, out)
    guard = _guard_of(folder.resolve(), record, given.force)
    files.guards.append(guard)
    try:
        if is_file:
            guard(out, None)
        yield
    finally:
        files.guards.remove(guard)
        os.close(record)
        if not (folder / RECORD).stat().st_size:  # nothing was written, or nothing below `out`
            (folder / RECORD).unlink()
            if is_new and not any(folder.iterdir()):
                folder.rmdir()


def check_free(out: Path, places: Iterable[Path], suffixes: Sequence[str]) -> None:
    """Raise BadInput, before work is done, for the first result `<out>/<place><suffix>` that would not be written."""
    for place in places:
        for suffix in suffixes:
            files.ask_guards(out / place.with_name(place.name + suffix))


def _texts(given: argparse.Namespace) -> Iterator[str]:
    for name in given.reads:
        value = getattr(given, name)
        for text in value if isinstance(value, list) else [value]:
            if text is not None:
                yield str(text)


def _named(text: str) -> list[Path]:
    """Return the files and folders that an argument names, none for the name of a hub or a registry."""
    for name in (text, text.partition("=")[2]):
        if name and Path(name).exists():
            return [Path(name)]
    return [Path(one) for one in glob.glob(text, recursive=True)]


def _check_apart(out: Path, path: Path, is_file: bool, force: bool) -> None:
    place, source = out.resolve(), path.resolve()
    if place == source:
        raise BadInput(f"-o {out}: is the input itself; name another place")
    inside = source.is_dir() and source in place.parents
    beside = source.is_file() and not is_file and place == source.parent
    if (inside or beside) and not force:
        where = f"lies inside the input {path}" if inside else f"is the folder of the input {path}"
        raise BadInput(f"-o {out}: {where}; name a place outside, or say --force")


def _opened(folder: Path, out: Path) -> int:
    """Open the record for appending; a link of that name is not followed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return files.appending(folder / RECORD)
    except OSError as error:
        raise BadInput(f"-o {out}: cannot be written to: {error.strerror} ({error.filename})") from error


def _guard_of(folder: Path, record: int, force: bool) -> Callable[[Path, Path | None], None]:
    made = _read(record)

    def guard(path: Path, finished: Path | None) -> None:
        place = path.parent.resolve() / path.name
        if not place.is_relative_to(folder):
            return
        name = place.relative_to(folder).as_posix()
        if finished is None:
            if not force and not _is_made(place, made.get(name)):
                raise BadInput(f"{path}: is there already and was not made by this command; --force replaces it")
            return
        made[name] = _stamp(os.stat(finished))
        os.write(record, (json.dumps([name, *made[name]]) + "\n").encode())

    return guard


def _read(record: int) -> dict[str, tuple[int, int]]:
    with os.fdopen(os.dup(record), encoding="utf-8", errors="replace") as handle:
        handle.seek(0)
        lines = [line for line in handle if line.endswith("]\n")]  # a kill may have cut the last
    return {name: (size, time) for name, size, time in map(json.loads, lines)}


def _is_made(path: Path, stamp: tuple[int, int] | None) -> bool:
    """Whether `path` is free, or the very file that was written down."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return True
    return stat.S_ISREG(found.st_mode) and _stamp(found) == stamp


def _stamp(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns
