"""Where finished shards are kept, and how their members are read: beside their table, or in a bucket through a cache.

A table records of each shard its name, size in bytes, sha256, samples and, when it lies in a bucket, its `uri`. Named
by their content, objects are never written over and never half there: another process, or a collection that starts
anew, finds the same shard under the same name and does not upload it again. Nothing is ever deleted from a bucket,
as older tables still name what lies there.

Shards in a bucket are fetched whole when all those that are read together fit the cache, else members are read by
range: then every member costs a request, and nothing is fetched that is not wanted. The cache is a folder of this
machine: `DEPTH_ANYTHING_SHARD_CACHE` (below `~/.cache` unless set), at most `DEPTH_ANYTHING_SHARD_CACHE_GB`
gigabytes (20 unless set). Files in it are named by their SHA-256 and verified when they come, so that several
processes and projects share it; the oldest make room for new ones. (The caches of fsspec know no largest size.)
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.errors import BadInput
from depth_model.shards import images, manifest, shards
from depth_model.shards.store import Bucket, StoreError

FOLDER = "DEPTH_ANYTHING_SHARD_CACHE"
GIGABYTES = "DEPTH_ANYTHING_SHARD_CACHE_GB"
_USUAL_GIGABYTES = 20.0
_ASKED_AT_ONCE = 8


def keep(path: Path, samples: int, store: Bucket | None) -> dict[str, Any]:
    """Return what a table records of the finished shard `path`, which moves to `store` unless that is None.

    The local file is removed when the object is there and verified. Raises StoreError when the store cannot be used.
    """
    entry = manifest.shard_entry(path, samples)
    if store is None:
        return entry
    name = f"{entry['sha256']}.tar"
    store.write(name, path, entry["sha256"])
    path.unlink()
    return entry | {"uri": f"{store.uri}/{name}"}


def _address(entry: Mapping[str, Any]) -> tuple[Bucket, str]:
    uri, _, name = entry["uri"].rpartition("/")
    return Bucket(uri), name


def is_kept(entry: Mapping[str, Any], folder: Path, store: Bucket | None) -> bool:
    """Tell whether the shard of `entry`, of a table in `folder`, lies in `store`, or beside the table if that is None.

    It must have its size, and in a store the sha256 that was verified when it was written. Raises StoreError.
    """
    return (_address(entry)[0] if "uri" in entry else None) == store and _is_there(entry, folder)


def _is_there(entry: Mapping[str, Any], folder: Path) -> bool:
    if "uri" in entry:
        bucket, name = _address(entry)
        return bucket.kept(name) == (entry["size"], entry["sha256"])
    path = Path(folder) / entry["name"]
    return path.exists() and path.stat().st_size == entry["size"]


def missing(folder: Path, entries: Iterable[Mapping[str, Any]]) -> int:
    """Return how many of the shards `entries` of a table in `folder` are not there, or cut off; raises StoreError."""
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as threads:
        return sum(not there for there in threads.map(lambda entry: _is_there(entry, folder), entries))


class ShardReader:
    """Reads members of the shards `entries` of one table (`manifest.metadata(...)["shards"]`) in `folder`.

    `whole` says whether shards in a bucket are fetched into the cache; `fit_together` decides it for several tables.
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
            bucket, name = _address(entry)
            return bucket.read_range(name, offset, size, lambda data: digest is None or images.digest(data) == digest)
        except BadInput as error:
            raise BadInput(f"{shard} of {self.folder}: {entry['uri']}: {error}") from error


def fit_together(readers: Iterable[ShardReader]) -> None:
    """Let `readers` fetch whole shards if those of all of them fit the cache together, else read by range."""
    listed = list(readers)
    total = sum(reader.remote_bytes for reader in listed)
    for reader in listed:
        reader.whole = bool(total) and total <= _cache_size()


def _cache_folder() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(FOLDER) or Path(caches, "open-depth-anything", "shards"))


def _cache_size() -> int:
    """Return how many bytes the cache may hold; raises StoreError when the environment names no such number."""
    given = os.environ.get(GIGABYTES, _USUAL_GIGABYTES)
    try:
        size = int(float(given) * 1e9)
    except (ValueError, OverflowError):
        size = -1
    if size < 0:
        raise StoreError(f"{GIGABYTES} = {given!r}: must be a number of gigabytes, 0 or more")
    return size


def _read_cached(entry: Mapping[str, Any], offset: int, size: int) -> bytes:
    path = _cache_folder() / f"{entry['sha256']}.tar"
    try:
        return shards.read_member(path, offset, size)
    except (FileNotFoundError, NotADirectoryError):  # never fetched, or it made room for another
        _fetch(entry, path)
        return shards.read_member(path, offset, size)


def _fetch(entry: Mapping[str, Any], path: Path) -> None:
    try:
        with _only_one(path):
            if not path.exists():
                _make_room(path.parent, _cache_size() - entry["size"])
                with files.atomic_path(path) as temporary:
                    bucket, name = _address(entry)
                    bucket.fetch(name, temporary, entry["size"], entry["sha256"])
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
