"""Objects of DVC's cache that have lost their bytes: found by their hash and removed, so that DVC makes them anew.

DVC does not hash what it once wrote: it would give a damaged object back as the result of a stage. Without the object
the stage counts as changed, `dvc repro` publishes it again from `.work`, or makes it again, and `dvc pull` fetches it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


def scrub(root: Path) -> list[str]:
    """Remove every damaged object of the cache of the DVC project at `root`, and the copies of it among its outs.

    Reads the whole cache. Returns a line for each file removed. Raises OSError as the file system does.
    """
    from dvc.repo import Repo

    with Repo(root) as repository, repository.lock:
        cache = Path(repository.cache.local.path)
        damaged = {path.parent.name + path.name: path for path in sorted(cache.glob("??/*")) if not _whole(path)}
        copies = [copy for copy in _copies(root, cache, damaged) if copy.is_file() and _md5(copy) not in damaged]
        for path in (*damaged.values(), *copies):
            path.unlink()
    return [f"{os.path.relpath(path, root)} is damaged and removed" for path in (*damaged.values(), *copies)]


def _whole(path: Path) -> bool:
    return path.is_dir() or path.parent.name + path.name.removesuffix(".dir") == _md5(path)


def _md5(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()


def _copies(root: Path, cache: Path, damaged: dict[str, Any]) -> Iterator[Path]:
    """Yield the files of outs that should hold what `damaged` objects held; of a damaged list of a folder, none."""
    lock = root / "dvc.lock"
    content = yaml.safe_load(lock.read_bytes()) if lock.exists() else {}
    for stage in (content.get("stages") or {}).values():
        for out in stage.get("outs", ()):
            digest, path = str(out.get("md5", "")), root / out["path"]
            listing = cache / digest[:2] / digest[2:]
            if digest in damaged:
                yield path
            elif digest.endswith(".dir") and listing.exists():
                yield from (path / one["relpath"] for one in json.loads(listing.read_bytes()) if one["md5"] in damaged)
