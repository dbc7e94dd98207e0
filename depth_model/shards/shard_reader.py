"""Reading the members of shards, wherever they lie: in a folder, or in an object store through a local cache.

Shards in a store are fetched whole when all those that are read together fit the cache, else members are read by
range: then every member costs a request, and nothing is fetched that is not wanted. The cache is a folder of this
machine: `DEPTH_ANYTHING_SHARD_CACHE` (below `~/.cache` unless set), at most `DEPTH_ANYTHING_SHARD_CACHE_GB`
gigabytes (20 unless set). Files in it are named by their SHA-256 and verified when they come, so that several
processes and projects share it; the oldest make room for new ones.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.errors import BadInput
from depth_model.shards import images, object_store, shard_store, shards
from depth_model.shards.object_store import StoreError

FOLDER = "DEPTH_ANYTHING_SHARD_CACHE"
GIGABYTES = "DEPTH_ANYTHING_SHARD_CACHE_GB"
_USUAL_GIGABYTES = 20.0


def cache_folder() -> Path:
    """Return the folder that shards of stores are fetched into."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(FOLDER) or Path(caches, "open-depth-anything", "shards"))


def cache_size() -> int:
    """Return how many bytes the cache may hold; raises StoreError when the environment names no such number."""
    given = os.environ.get(GIGABYTES, _USUAL_GIGABYTES)
    try:
        size = int(float(given) * 1e9)
    except (ValueError, OverflowError):
        size = -1
    if size < 0:
        raise StoreError(f"{GIGABYTES} = {given!r}: must be a number of gigabytes, 0 or more")
    return size


class ShardReader:
    """Reads members of the shards `entries` of one table (`manifest.metadata(...)["shards"]`) in `folder`.

    `whole` says whether shards in a store are fetched into the cache; `fit_together` decides it for several tables.
    """

    def __init__(self, folder: Path, entries: Iterable[Mapping[str, Any]]) -> None:
        self.folder = Path(folder)
        self._remote = {entry["name"]: entry for entry in entries if "uri" in entry}
        self.remote_bytes = sum(entry["size"] for entry in self._remote.values())
        fit_together([self])

    def part(self, shard: str) -> ShardReader:
        """Return the reader of one shard alone."""
        return ShardReader(self.folder, [self._remote[shard]] if shard in self._remote else [])

    def read(self, shard: str, offset: int, size: int, digest: int | None = None) -> bytes:
        """Return the member of `size` bytes from `offset` on of the shard named `shard`.

        `digest`, that of `images.digest`, is compared when only a range is fetched, which has no checksum of its own.
        Raises BadInput when the shard is damaged or gone and StoreError when the store cannot be used.
        """
        entry = self._remote.get(shard)
        if entry is None:
            return shards.read_member(self.folder / shard, offset, size)
        try:
            if self.whole:
                return _read_cached(entry, offset, size)
            intact = lambda data: digest is None or images.digest(data) == digest  # noqa: E731
            return object_store.read_range(*shard_store.address(entry), offset, size, intact)
        except BadInput as error:
            raise BadInput(f"{shard} of {self.folder}: {entry['uri']}: {error}") from error


def fit_together(readers: Iterable[ShardReader]) -> None:
    """Let `readers` fetch whole shards if those of all of them fit the cache together, else read by range."""
    listed = list(readers)
    total = sum(reader.remote_bytes for reader in listed)
    for reader in listed:
        reader.whole = bool(total) and total <= cache_size()


def _read_cached(entry: Mapping[str, Any], offset: int, size: int) -> bytes:
    path = cache_folder() / f"{entry['sha256']}.tar"
    try:
        return shards.read_member(path, offset, size)
    except (FileNotFoundError, NotADirectoryError):  # never fetched, or it made room for another
        _fetch(entry, path)
        return shards.read_member(path, offset, size)


def _fetch(entry: Mapping[str, Any], path: Path) -> None:
    try:
        with _only_one(path):
            if not path.exists():
                _make_room(path.parent, cache_size() - entry["size"])
                with files.atomic_path(path) as temporary:
                    place, name = shard_store.address(entry)
                    object_store.fetch_object(place, name, temporary, entry["size"], entry["sha256"])
    except OSError as error:
        raise StoreError(f"{path.parent}: {error.strerror or error}; name another folder by {FOLDER}") from error


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Let one process at a time fetch `path`, or another whose name begins alike: the locks stay few."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.parent / f"{path.name[:2]}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_room(folder: Path, size: int) -> None:
    """Remove the oldest files, also what a killed process left half fetched, until at most `size` bytes are left."""
    with os.scandir(folder) as entries:
        found = [(entry.stat(), entry.path) for entry in entries if not entry.name.endswith(".lock")]
    held = sum(status.st_size for status, _ in found)
    for status, path in sorted(found, key=lambda one: one[0].st_mtime_ns):
        if held <= size:
            return
        Path(path).unlink(missing_ok=True)
        held -= status.st_size
