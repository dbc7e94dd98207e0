"""Text files that say which images belong to a split, in the format of the released code of the field.

One image a line: its path, then whatever else the format knows, separated by spaces. Such a list lies beside the code
that made it known, seldom below the root of the data, so that its own path may be absolute; and the paths in it may
start with folders of its author's machine, so that a reader looks for the last parts of them only.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.errors import BadInput, named
from depth_model.reading.reader import files_below


def lines(root: Path, name: str) -> Iterator[list[str]]:
    """Yield the words of every line of the list file `name` (absolute, or relative to `root`) that is not empty.

    A backslash and a leading `./` of paths make no difference. Raises BadInput as `text_lines` does, and when there is
    no such file.
    """
    path = _existing(root, name)
    with named("list"):
        found = list(text_lines(path))
    for line in found:
        yield [plain_path(word) for word in line.split()]


def text_lines(path: Path) -> Iterator[str]:
    """Yield every line of the list file `path` that is not empty, without the space around it; raises as `text_of`."""
    yield from filter(None, map(str.strip, text_of(path).splitlines()))


def text_of(path: Path) -> str:
    """Return the text of the list file `path`, which may come from another system.

    A byte order mark and UTF-16 make no difference. Raises BadInput for a file that is not text.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path.name} is not a text file (of UTF-8 or UTF-16)") from error
    if "\0" in text:
        raise BadInput(f"{path.name} is not a text file (of UTF-8 or UTF-16)")
    return text


def plain_path(text: str) -> str:
    """Return the path in a list as it is below a root: without backslashes and a leading `./`."""
    return text.replace("\\", "/").removeprefix("./")


def watch(root: Path, options: Any) -> Iterator[dict[str, Any]]:
    """Yield what the inventory records of a reader with an option `list`: the files below `root`, and the list."""
    yield from files_below(root)
    if options.list is not None:
        # Its content only: the path may be absolute, and an inventory holds nothing of one machine.
        yield {"list": files.sha256(_existing(root, options.list))}


def _existing(root: Path, name: str) -> Path:
    path = root / name
    if not path.is_file():
        raise BadInput(f"list: there is no file {name!r} (an absolute path, or one relative to the root {root})")
    return path


def folders_by_name(root: Path, levels: int = 3) -> dict[str, list[str]]:
    """Return {name of a folder: the folders it lies in}, at most `levels` below `root`.

    The values are relative to `root`, end with `/` unless empty, and lie in sorted order: releases come in several
    archives, which people unpack into one folder or into one each.
    """
    found: dict[str, list[str]] = {}
    level = [""]
    for _ in range(levels):
        below = []
        for folder in level:
            for name in sorted(entry.name for entry in os.scandir(root / folder) if entry.is_dir()):
                found.setdefault(name, []).append(folder)
                below.append(f"{folder}{name}/")
        level = below
    return found


def first_below(root: Path, folders: list[str], *paths: str) -> str:
    """Return the first `folder + path` that is a file below `root`; the first of `paths` when there is none."""
    candidates = (folder + path for folder in folders for path in paths)
    return next((path for path in candidates if (root / path).is_file()), paths[0])
