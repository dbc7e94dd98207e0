"""Files of other people in folders that DVC empties before a stage runs: found before DVC starts."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from depth_model import files
from depth_model.errors import UserError

SHOWN = 5


def refuse_unknown_files(root: Path) -> None:
    """Raise UserError when an out of the DVC project at `root` holds a file that no stage made.

    DVC would see the folder as changed, empty it and make it anew. A bare `dvc repro` does so without asking.
    """
    found = list(unknown_files(root))
    if found:
        names = ", ".join(path.relative_to(root).as_posix() for path in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise UserError(f"{names}{more}: DVC empties this folder before it makes it anew; move what is yours elsewhere")


def unknown_files(root: Path) -> Iterator[Path]:
    """Yield every file below a folder of dvc.lock that is neither listed there nor a stage's unpublished result."""
    lock = root / "dvc.lock"
    if not lock.exists():
        return
    content = yaml.load(lock.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    for address, entry in (content.get("stages") or {}).items():
        for out in entry.get("outs", []):
            known = _listed(root, out)
            if known is not None:
                yield from _others(root, address, out["path"], known)


def _listed(root: Path, out: dict[str, Any]) -> set[str] | None:
    """Return the files that DVC knows in a folder, None for what is no folder or not in this cache."""
    digest = str(out.get("md5", ""))
    listing = root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    if not digest.endswith(".dir") or not listing.is_file():
        return None
    return {one["relpath"] for one in files.read_json(listing)}


def _others(root: Path, address: str, out: str, known: set[str]) -> Iterator[Path]:
    results = list((root / ".work" / address.replace("@", "-")).glob(f"*/result/{glob.escape(out)}"))
    ignored = [".gitignore", *_ignored(root)]
    for folder, below, names in os.walk(root / out):
        below[:] = [name for name in below if not _matches(name, ignored)]
        links = [name for name in below if Path(folder, name).is_symlink()]  # to folders; no stage makes one
        for name in [*names, *links]:
            path = Path(folder, name)
            relative = path.relative_to(root / out)
            if relative.as_posix() in known or _matches(name, ignored):
                continue
            if not any((result / relative).exists() for result in results):
                yield path


def _ignored(root: Path) -> list[str]:
    path = root / ".dvcignore"
    lines = path.read_text(encoding="utf-8").split() if path.exists() else []
    return [line.rstrip("/") for line in lines]


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
