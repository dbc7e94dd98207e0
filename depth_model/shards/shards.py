"""Shards: plain POSIX tar files of samples, written once and read by offset.

A sample is a run of members that share a key (`<key>.jpg`, `<key>.target.dar`, `<key>.semantic.png`): the
WebDataset naming, which any tar reader can walk through. The same samples give the same bytes: members carry
neither time nor owner. Does not know what the members hold.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from depth_model import files
from depth_model.errors import BadInput
from depth_model.shards.sample import check_key

_MODE = 0o644


def shard_name(digest: str) -> str:
    """Return the file name of the shard whose content is determined by what `digest`, a SHA-256, was taken over."""
    return f"shard-{digest[:16]}.tar"


def write_shard(path: Path, entries: Iterable[tuple[str, Mapping[str, bytes]]]) -> list[dict[str, Any]]:
    """Write `entries`, pairs of key and {suffix: content}, as the tar file `path`: whole or not at all.

    Returns one dict per entry: key, shard (file name) and members {suffix: (offset, size in bytes)}, where the
    content of a member can be read without the tar headers. Raises BadInput for an unsafe key and ValueError
    for a key that stands twice.
    """
    rows: dict[str, dict[str, Any]] = {}
    with files.atomic_path(path) as temporary, open(temporary, "wb") as handle:
        for key, members in entries:
            if check_key(key) in rows:
                raise ValueError(f"{path.name}: key {key!r} stands twice")
            places = {suffix: _write_member(handle, f"{key}.{suffix}", data) for suffix, data in members.items()}
            rows[key] = {"key": key, "shard": path.name, "members": places}
        handle.write(bytes(2 * tarfile.BLOCKSIZE))
        handle.write(bytes(-handle.tell() % tarfile.RECORDSIZE))
    return list(rows.values())


def _write_member(handle: IO[bytes], name: str, data: bytes) -> tuple[int, int]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), _MODE
    handle.write(entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))
    offset = handle.tell()
    handle.write(data)
    handle.write(bytes(-len(data) % tarfile.BLOCKSIZE))
    return offset, len(data)


def read_member(path: Path, offset: int, size: int) -> bytes:
    """Return `size` bytes of the shard `path` from `offset` on, in one ranged read.

    The file is opened for this read only: a local open costs microseconds, no descriptor is shared between
    processes, and millions of shards need no more than one. Raises BadInput when the shard is shorter.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)
    if len(data) != size:
        raise BadInput(f"{path}: cut off, {size} bytes at {offset} are not there; collect this source again")
    return data


def link_shards(scratch: Path, result: Path, names: Iterable[str]) -> None:
    """Hard-link the shards `names` of `scratch` into `result`, or copy them where links are not possible."""
    for name in names:
        link_shard(Path(scratch) / name, Path(result) / name)


def link_shard(source: Path, target: Path) -> None:
    """Hard-link the shard `source` as `target`, which it replaces, or copy it where links are not possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links, or another one
        shutil.copyfile(source, target)
