"""Members of tar files, plain (each read at its offset) or compressed by gzip (unpacked from the start, forward).

The headers are parsed here and not by `tarfile`, which reads extended headers of any announced size into memory.
Understood are the old, POSIX (ustar, pax) and GNU formats; links, devices and sparse files are refused.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from depth_model.errors import BadInput
from depth_model.reading.archives.common import (
    LONGEST_NAME,
    Member,
    cut_off,
    exactly,
    file_size,
    opened,
    pread,
    rest,
    told,
)

BLOCK = 512
_ZEROS = bytes(BLOCK)
_REGULAR = b"0\0007"
_LONGEST_EXTENSION = 2**16
_STEP = 2**20
_GZIP = b"\x1f\x8b"
_GZIP_ERRORS = (OSError, EOFError, zlib.error)


class _Bytes(Protocol):
    """Bytes of an unpacked tar: `at` gives fewer than asked for at the end, `reaches` tells whether it is so long."""

    def at(self, offset: int, size: int) -> bytes: ...

    def reaches(self, offset: int) -> bool: ...


class _Plain:
    def __init__(self, handle: IO[bytes]) -> None:
        self._handle, self._size = handle, file_size(handle)

    def at(self, offset: int, size: int) -> bytes:
        return pread(self._handle, offset, size)

    def reaches(self, offset: int) -> bool:
        return offset <= self._size


class _Unpacked:
    """The unpacked content of a gzip file, read forward: going back means starting again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        self._stream, self._position = gzip.open(self._path, "rb"), 0

    def close(self) -> None:
        self._stream.close()

    def reaches(self, offset: int) -> bool:
        if offset < self._position:
            self.close()
            self._open()
        while self._position < offset:
            step = len(self._stream.read(min(_STEP, offset - self._position)))
            if not step:
                return False
            self._position += step
        return True

    def at(self, offset: int, size: int) -> bytes:
        if not self.reaches(offset):
            return b""
        data = self._stream.read(size)
        self._position += len(data)
        return data


class _Header(NamedTuple):
    name: str
    size: int
    kind: bytes


def is_compressed(handle: IO[bytes]) -> bool:
    """Return whether an open file begins as gzip files do."""
    return pread(handle, 0, 2) == _GZIP


def members(path: Path) -> Iterator[Member]:
    """Yield the files in a tar in their order; what cannot be read is yielded with its reason. Flat in memory."""
    with opened(path) as handle:
        if not is_compressed(handle):
            yield from _listed(_Plain(handle), "at")
            return
    stream = _Unpacked(path)
    try:
        yield from _listed(stream, "gz")
    except _GZIP_ERRORS as error:
        yield rest(stream._position, f"damaged gzip data: {error}")
    finally:
        stream.close()


def _listed(source: _Bytes, kind: str) -> Iterator[Member]:
    offset = 0
    extended: dict[str, str] = {}
    while True:
        block = source.at(offset, BLOCK)
        if block == _ZEROS:
            return
        try:
            header = _parsed(block)
            start, end = offset + BLOCK, offset + BLOCK + header.size
            if header.kind in b"xgLK":
                content = _extension(source, start, header)
                extended |= content
            else:
                size = int(extended.get("size", header.size))
                end = start + size
                yield from _entry(source, header, extended, start, end, kind)
                extended = {}
        except ValueError as error:
            yield rest(offset, str(error))
            return
        if not source.reaches(end):
            return
        offset = -(-end // BLOCK) * BLOCK


def _entry(
    source: _Bytes, header: _Header, extended: dict[str, str], start: int, end: int, kind: str
) -> Iterator[Member]:
    name = extended.get("path", header.name)
    if header.kind == b"5" or name.endswith("/"):
        return
    if header.kind in b"12":
        yield Member(name[:LONGEST_NAME], "", "a link: only regular files are read")
    elif header.kind not in _REGULAR or "sparse" in extended:
        yield Member(name[:LONGEST_NAME], "", f"a special or sparse file (type {header.kind!r}), not a regular one")
    elif not source.reaches(end):
        yield cut_off(name, end)
    else:
        yield told(name, f"{kind}:{start}:{end - start}", end - start)


def _parsed(block: bytes) -> _Header:
    if len(block) < BLOCK:
        raise ValueError("cut off, or without the mark that ends a tar")
    try:
        stored = _number(block[148:156])
        size = _number(block[124:136])
    except ValueError as error:
        raise ValueError("no header of a tar member stands there") from error
    if stored != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        raise ValueError("the checksum of a header is wrong")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    kind = block[156:157]
    return _Header(name, 0 if kind in b"123456" else size, kind)


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or binary when the first bit says so."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else int.from_bytes(field[1:], "big")
    else:
        value = int(field.partition(b"\0")[0].strip() or b"0", 8)
    if value < 0:
        raise ValueError(f"negative size {value}")
    return value


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _extension(source: _Bytes, start: int, header: _Header) -> dict[str, str]:
    """Return what an extended header says of the next member: path, size, sparse."""
    if header.size > _LONGEST_EXTENSION:
        raise ValueError(f"an extended header of {header.size} bytes: at most {_LONGEST_EXTENSION} are read")
    content = source.at(start, header.size)
    if len(content) < header.size:
        raise ValueError("cut off in an extended header")
    if header.kind == b"L":
        return {"path": _text(content)}
    return _pax(content) if header.kind == b"x" else {}


def _pax(content: bytes) -> dict[str, str]:
    """Return the records `<length> <keyword>=<value>` that matter."""
    found: dict[str, str] = {}
    while content.strip(b"\0"):
        length, space, _ = content.partition(b" ")
        if not space or not length.isdigit() or not len(length) + 1 < int(length) <= len(content):
            raise ValueError("damaged extended header")
        keyword, _, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
        content = content[int(length) :]
        if keyword == b"path":
            found["path"] = value.decode("utf-8", "surrogateescape")
        elif keyword == b"size":
            if not value.isdigit() or len(value) > 20:
                raise ValueError("damaged extended header")
            found["size"] = value.decode()
        elif keyword.startswith(b"GNU.sparse."):
            found["sparse"] = ""
    return found


def read_plain(path: Path, offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset` on: one ranged read."""
    with opened(path) as handle:
        return exactly(handle, offset, size)


_forward = threading.local()


def read_compressed(path: Path, offset: int, size: int) -> bytes:
    """Return `size` unpacked bytes from `offset` on.

    The stream stays open for the next call of the same thread: members in the order of the archive are unpacked once
    in all, any other order starts again at each step back. Raises BadInput for damaged data.
    """
    try:
        status = path.stat()
        identity = (path, status.st_size, status.st_mtime_ns)
        if getattr(_forward, "identity", None) != identity:
            _close_forward()
            _forward.stream, _forward.identity = _Unpacked(path), identity
        data = _forward.stream.at(offset, size)
    except _GZIP_ERRORS as error:
        _close_forward()
        raise BadInput(f"damaged gzip data: {error}") from error
    if len(data) != size:
        raise BadInput(f"the archive changed or is cut off: {size} unpacked bytes at {offset} are not there")
    return data


def _close_forward() -> None:
    if getattr(_forward, "identity", None) is not None:
        _forward.identity = None
        _forward.stream.close()
