"""What is missing in the folder of a data set, said in one line: expected, found, and how to get the rest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".7z", ".rar", ".egg", ".xz")
_SHOWN = 8


def fault(root: Path, expected: Iterable[str], where: str) -> str:
    """Return what is wrong with `root`, one line, or "" when nothing is.

    `expected` are patterns of paths below `root` in which `*` stands for any part of one name; each must lead to
    something, and one with ` | ` between alternatives is met by any of them. `where` says how to get the data set.
    """
    if not root.is_dir():
        return f"there is no folder {str(root)!r}{_source(where)}"
    for pattern in expected:
        alternatives = pattern.split(" | ")
        if not any(_leads_somewhere(root, one) for one in alternatives):
            found = _found(root, alternatives[0])
            return f"no {' or '.join(alternatives)} in {str(root)!r}; found: {found}{_source(where)}"
    return ""


def _leads_somewhere(root: Path, pattern: str) -> bool:
    return next(root.glob(pattern), None) is not None


def _source(where: str) -> str:
    return f"; to get it: {where}" if where else ""


def _found(root: Path, pattern: str) -> str:
    """Return the names in the deepest folder along `pattern` that is there, and which of them want unpacking."""
    folder, rest = root, pattern.split("/")
    while len(rest) > 1 and (deeper := next((one for one in folder.glob(rest[0]) if one.is_dir()), None)):
        folder, rest = deeper, rest[1:]
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in os.scandir(folder))
    below = f" in {folder.relative_to(root).as_posix()}" if folder != root else ""
    shown = ", ".join(names[:_SHOWN]) or "nothing"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    packed = [name for name in names if name.lower().endswith(_ARCHIVES)]
    hint = f" (unpack {packed[0]}{' and others' if len(packed) > 1 else ''} first)" if packed else ""
    return f"{shown}{more}{below}{hint}"
