"""Members of zip files: the directory is read entry by entry, a member without the directory.

Not by `zipfile`, which holds an object for each of millions of members and needs them all to read one. Understood are
stored and deflated members and zip64. A zip whose end is missing is listed from the headers before its members.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from depth_model.errors import BadInput
from depth_model.reading.archives.common import (
    LONGEST_NAME,
    MAX_BYTES,
    Member,
    cut_off,
    exactly,
    file_size,
    opened,
    pread,
    rest,
    told,
)

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _SIZES_FOLLOW, _UTF8 = 1, 8, 0x800
_UNKNOWN = 0xFFFFFFFF
_BUFFER = 2**20


class _Entry(NamedTuple):
    """What a header says of one member; `offset` is that of its local header."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int


def members(path: Path) -> Iterator[Member]:
    """Yield the files in a zip in the order of its directory; what cannot be read is yielded with its reason."""
    with opened(path) as handle:
        directory = _directory(handle)
        if directory is None:
            yield from _from_local_headers(handle)
            return
        start, end, shift = directory
        size = file_size(handle)
        try:
            for entry in _central_entries(handle, start, end):
                yield from _member(entry._replace(offset=entry.offset + shift), size)
        except (ValueError, struct.error) as error:
            yield rest(start, f"damaged directory: {error}")


def _directory(handle: IO[bytes]) -> tuple[int, int, int] | None:
    """Return (start, end, shift of all offsets) of the directory in bytes, None for a file without its end."""
    size = file_size(handle)
    tail_start = max(0, size - _END.size - 2**16)
    tail = pread(handle, tail_start, size - tail_start)
    place = tail.rfind(b"PK\5\6")
    if place < 0 or place + _END.size > len(tail):
        return None
    *_, length, offset, _ = _END.unpack_from(tail, place)
    end = tail_start + place
    locator = pread(handle, max(0, end - _LOCATOR.size), _LOCATOR.size)
    if locator.startswith(b"PK\6\7"):
        end = _LOCATOR.unpack(locator)[2]
        large = pread(handle, end, _END64.size) if end < size else b""
        if len(large) < _END64.size or not large.startswith(b"PK\6\6"):
            return None
        *_, length, offset = _END64.unpack(large)
    if length > end:
        return None
    return end - length, end, end - length - offset


def _central_entries(handle: IO[bytes], start: int, end: int) -> Iterator[_Entry]:
    position, buffer, origin = start, b"", start
    while position < end:
        if position + _ENTRY.size + 3 * 2**16 > origin + len(buffer) < end:
            buffer, origin = pread(handle, position, min(_BUFFER, end - position)), position
        (magic, _, _, flags, method, _, _, crc, packed, size, long, extra, comment, _, _, mode, offset) = (
            _ENTRY.unpack_from(buffer, position - origin)
        )
        name_start = position - origin + _ENTRY.size
        following = name_start + long + extra + comment
        if magic != b"PK\1\2" or following > len(buffer):
            raise ValueError(f"no entry at byte {position}")
        name = _name(buffer[name_start : name_start + long], flags)
        fields = buffer[name_start + long : name_start + long + extra]
        size, packed, offset = _large(fields, size, packed, offset)
        yield _Entry(name, flags, method, crc, packed, size, offset, mode >> 16)
        position = origin + following


def _name(encoded: bytes, flags: int) -> str:
    return encoded.decode("utf-8", "surrogateescape") if flags & _UTF8 else encoded.decode("cp437")


def _large(fields: bytes, *values: int) -> list[int]:
    """Return `values` with those that the zip64 extra field holds in their place."""
    while len(fields) >= 4:
        kind, length = struct.unpack_from("<2H", fields)
        if kind == 1:
            stored = iter(struct.unpack(f"<{min(length, len(fields) - 4) // 8}Q", fields[4 : 4 + length // 8 * 8]))
            return [next(stored, value) if value == _UNKNOWN else value for value in values]
        fields = fields[4 + length :]
    return list(values)


def _from_local_headers(handle: IO[bytes]) -> Iterator[Member]:
    position, size = 0, file_size(handle)
    while True:
        head = pread(handle, position, _LOCAL.size)
        if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
            yield rest(position, "it lacks the directory that ends a zip")
            return
        _, _, flags, method, _, _, crc, packed, unpacked, long, extra = _LOCAL.unpack(head)
        text = pread(handle, position + _LOCAL.size, long + extra)
        unpacked, packed = _large(text[long:], unpacked, packed)
        entry = _Entry(_name(text[:long], flags), flags, method, crc, packed, unpacked, position, 0)
        end = position + _LOCAL.size + long + extra + packed
        if flags & _SIZES_FOLLOW:
            yield rest(position, "it lacks the directory that ends a zip, and the sizes of members with it")
            return
        if end > size:
            yield cut_off(entry.name, end)
            return
        yield from _member(entry, size)
        position = end


def _member(entry: _Entry, archive: int) -> Iterator[Member]:
    if entry.name.endswith("/"):
        return
    end = entry.offset + _LOCAL.size + entry.packed
    if stat.S_ISLNK(entry.mode):
        reason = "a link: only regular files are read"
    elif entry.flags & _ENCRYPTED:
        reason = "encrypted"
    elif entry.method not in (_STORED, _DEFLATED):
        reason = f"packed by method {entry.method}: stored and deflated members are read"
    elif not 0 <= entry.offset <= archive or end > archive:
        yield cut_off(entry.name, end)
        return
    elif entry.packed > MAX_BYTES:
        reason = f"{entry.packed} packed bytes: at most {MAX_BYTES} are read"
    else:
        place = f"zip:{entry.offset}:{entry.method}:{entry.packed}:{entry.size}:{entry.crc}"
        yield told(entry.name, place, entry.size)
        return
    yield Member(entry.name[:LONGEST_NAME], "", reason)


def read(path: Path, offset: int, method: int, packed: int, size: int, crc: int) -> bytes:
    """Return the member whose local header stands at `offset`, checked; raises BadInput when it is not as announced."""
    with opened(path) as handle:
        head = exactly(handle, offset, _LOCAL.size)
        if not head.startswith(b"PK\3\4"):
            raise BadInput(f"the archive changed or is damaged: no member stands at {offset}")
        *_, long, extra = _LOCAL.unpack(head)
        data = exactly(handle, offset + _LOCAL.size + long + extra, packed)
    data = _inflated(data, size) if method == _DEFLATED else data
    if len(data) != size or zlib.crc32(data) != crc:
        raise BadInput("the member is damaged: its length or checksum is not that of the directory")
    return data


def _inflated(data: bytes, size: int) -> bytes:
    """Return the unpacked bytes, not more than one above the announced `size`."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, min(size, MAX_BYTES) + 1)
    except zlib.error as error:
        raise BadInput(f"the member is damaged: {error}") from error
