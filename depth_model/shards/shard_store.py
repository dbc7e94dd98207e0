"""Where a finished shard is kept: beside its table, or in an object store under the SHA-256 of its content.

A table records of each shard its name, size in bytes, sha256, samples and, when it lies in a store, its `uri`. Named
by their content, objects are never written over and never half there: another process, or a collection that starts
anew, finds the same shard under the same name and does not upload it again. Nothing is ever deleted from a store,
as older tables still name what lies there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from depth_model.shards import manifest, object_store
from depth_model.shards.object_store import StoreRoot

_ASKED_AT_ONCE = 8


def keep(path: Path, samples: int, store: StoreRoot | None) -> dict[str, Any]:
    """Return what a table records of the finished shard `path`, which moves to `store` unless that is None.

    The local file is removed when the object is there and verified. Raises StoreError when the store cannot be used.
    """
    entry = manifest.shard_entry(path, samples)
    if store is None:
        return entry
    name = f"{entry['sha256']}.tar"
    object_store.write_object(store, name, path, entry["sha256"])
    path.unlink()
    return entry | {"uri": f"{store.uri}/{name}"}


def address(entry: Mapping[str, Any]) -> tuple[StoreRoot, str]:
    """Return (where it lies, name there) of the shard in a store that `entry` records."""
    place, _, name = entry["uri"].rpartition("/")
    return StoreRoot(place), name


def kept_in(entry: Mapping[str, Any]) -> StoreRoot | None:
    """Return the store that the shard of `entry` lies in, None when it lies beside its table."""
    return address(entry)[0] if "uri" in entry else None


def is_there(folder: Path, entry: Mapping[str, Any]) -> bool:
    """Tell whether the shard of `entry`, of a table in `folder`, lies where it should, with the size it should have.

    A store also tells the sha256 that was verified when the shard was written. Raises StoreError when it cannot be
    asked.
    """
    if "uri" in entry:
        return object_store.object_state(*address(entry)) == (entry["size"], entry["sha256"])
    path = Path(folder) / entry["name"]
    return path.exists() and path.stat().st_size == entry["size"]


def missing(folder: Path, entries: Iterable[Mapping[str, Any]]) -> int:
    """Return how many of the shards `entries` of a table in `folder` are not there, or cut off; raises StoreError."""
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as threads:
        return sum(not there for there in threads.map(lambda entry: is_there(folder, entry), entries))
