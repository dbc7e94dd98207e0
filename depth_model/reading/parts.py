"""Cutting a source into the parts that become shards, so that a new image changes its own shard and no other.

The cut depends on the keys alone (content-defined, as in deduplicating storage): a part ends, anywhere in the
second half of what it may hold, after the key of the smallest hash. An inserted key moves the cuts near it and
no later ones. A part is named by the digest of all that its shard depends on, so that a finished shard is
recognized wherever and whenever it was made.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depth_model import files
from depth_model.shards import shards
from depth_model.shards.sample import Item
from depth_model.shards.seen_keys import SeenKeys, hash64


@dataclass(frozen=True)
class Part:
    """The items of one shard and its file name; `repeated` numbers those whose key stood before in the source."""

    name: str
    items: tuple[Item, ...]
    repeated: frozenset[int]


def parts(items: Iterable[Item], size: int, state: Callable[[Item], Any], rules: str) -> Iterator[Part]:
    """Yield the parts of `items`, each of at most `size` and, but for the last, at least half as many.

    `state(item)` is a JSON value that changes when the files of the item do, `rules` the digest of everything
    else that the shards depend on. Holds one part and 8 bytes per item in memory.
    """
    seen = SeenKeys()
    for chunk, hashes in _cut(items, size):
        repeated = np.flatnonzero(seen.repeated(hashes)).tolist()
        listed = [[item.key, item.source_path, item.fault or item.paths, state(item)] for item in chunk]
        yield Part(shards.shard_name(files.sha256_of_json([rules, listed, repeated])), chunk, frozenset(repeated))


def _cut(items: Iterable[Item], size: int) -> Iterator[tuple[tuple[Item, ...], np.ndarray]]:
    least = (size + 1) // 2
    waiting: list[Item] = []
    hashes: list[int] = []
    for item in items:
        waiting.append(item)
        hashes.append(hash64(item.key))
        if len(waiting) > size:
            end = least + int(np.argmin(np.array(hashes[least - 1 : size], np.uint64)))
            yield tuple(waiting[:end]), np.array(hashes[:end], np.uint64)
            del waiting[:end], hashes[:end]
    if waiting:
        yield tuple(waiting), np.array(hashes, np.uint64)


@contextmanager
def listed_parts(cut: Iterable[Part], folder: Path) -> Iterator[tuple[int, Iterator[Part]]]:
    """Yield (number of items, all parts once more) of `cut`, which is read through to its end first.

    The parts wait in a file of `folder` without a name, about 100 bytes an item: a source is listed once, nothing
    piles up in memory, and the number is known before the work begins.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = count = 0
    with tempfile.TemporaryFile(dir=folder) as file:
        for part in cut:
            pickle.dump(part, file, pickle.HIGHEST_PROTOCOL)
            total, count = total + len(part.items), count + 1
        file.seek(0)
        yield total, (pickle.load(file) for _ in range(count))
