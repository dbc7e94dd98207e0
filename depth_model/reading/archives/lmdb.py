"""Values of an LMDB database, as LSUN is released in: keys in order, each value read at its offset.

Pages are parsed here, every number checked, and not by the `lmdb` library: that maps the file into memory and trusts
it, so that a database which is cut off kills the process (SIGBUS). Understood is what 64-bit little-endian machines
write (data version 1): the main database, without duplicates.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from depth_model.reading.archives.common import Member, cut_off, file_size, opened, pread, rest, told

_PAGE = struct.Struct("<QHHHH")
_META = struct.Struct("<IIQQ")
_DATABASE = struct.Struct("<IHHQQQQQ")
_NODE = struct.Struct("<HHHH")
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_EMPTY = 2**64 - 1
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG, _SUBDATABASE, _DUPLICATES = 1, 2, 4
_PAGE_SIZES = [2**power for power in range(9, 17)]


class _File(NamedTuple):
    """An open database: its size in bytes and the size of its pages."""

    handle: IO[bytes]
    size: int
    page: int


def members(path: Path) -> Iterator[Member]:
    """Yield key (as text) and place of every value, in the order of the keys; `path` is the file or its folder."""
    with opened(data_file(path)) as handle:
        try:
            file, root = _root(handle)
            if root != _EMPTY:
                yield from _walk(file, root)
        except (ValueError, struct.error) as error:
            yield rest(0, str(error))


def data_file(path: Path) -> Path:
    """Return the file of the database `path`, which may be a folder."""
    return path / "data.mdb" if path.is_dir() else path


def _root(handle: IO[bytes]) -> tuple[_File, int]:
    """Return the file and the root page of the newer of its two descriptions."""
    head = pread(handle, 0, 2 * _PAGE_SIZES[-1])
    if len(head) < 152 or _META.unpack_from(head, 16)[:2] != (_MAGIC, _VERSION):
        raise ValueError("not an LMDB database of data version 1")
    page = _DATABASE.unpack_from(head, 40)[0]
    if page not in _PAGE_SIZES or len(head) < page + 152:
        raise ValueError(f"damaged LMDB database: pages of {page} bytes")
    found = []
    for start in (0, page):
        magic, version, *_ = _META.unpack_from(head, start + 16)
        if (magic, version) == (_MAGIC, _VERSION):
            transaction = struct.unpack_from("<Q", head, start + 144)[0]
            found.append((transaction, _DATABASE.unpack_from(head, start + 88)[-1]))
    return _File(handle, file_size(handle), page), max(found)[1]


def _walk(file: _File, root: int) -> Iterator[Member]:
    """Yield the members below the page `root`, depth first; a page that points back to one above ends it."""
    pending, budget = [root], file.size // file.page
    while pending:
        number = pending.pop()
        budget -= 1
        if budget < 0:
            raise ValueError("damaged LMDB database: its pages form a ring")
        data = pread(file.handle, number * file.page, file.page) if number < 2**48 else b""
        try:
            kind, nodes = _nodes(data, file.page)
        except ValueError as error:
            yield rest(number * file.page, str(error))
            continue
        if kind == _BRANCH:
            pending.extend(low | high << 16 | flags << 32 for low, high, flags, _ in reversed(nodes))
        else:
            for node in nodes:
                yield _member(file, number * file.page, data, node)


def _nodes(data: bytes, page: int) -> tuple[int, list[tuple[int, int, int, int]]]:
    """Return the kind of a page and, of each node, (low, high, flags, offset in the page)."""
    if len(data) < page:
        raise ValueError("the database is cut off")
    _, _, flags, lower, _ = _PAGE.unpack_from(data)
    if flags & 0xF not in (_BRANCH, _LEAF) or flags & 0x20 or not _PAGE.size <= lower <= page:
        raise ValueError(f"damaged page (flags {flags:#x})")
    places = struct.unpack_from(f"<{(lower - _PAGE.size) // 2}H", data, _PAGE.size)
    if any(not lower <= place <= page - _NODE.size for place in places):
        raise ValueError("damaged page (a node outside)")
    return flags & 0xF, [(*_NODE.unpack_from(data, place)[:3], place) for place in places]


def _member(file: _File, start: int, data: bytes, node: tuple[int, int, int, int]) -> Member:
    low, high, flags, place = node
    length, key_length = low | high << 16, _NODE.unpack_from(data, place)[3]
    content = place + _NODE.size + key_length
    name = data[place + _NODE.size : content].decode("utf-8", "surrogateescape")
    if flags & (_SUBDATABASE | _DUPLICATES):
        return Member(name, "", "a database within the database, or several values of one key")
    if content + (8 if flags & _BIG else length) > file.page:
        return Member(name, "", "damaged page (a value that does not fit)")
    offset = start + content
    if flags & _BIG:
        number = struct.unpack_from("<Q", data, content)[0]
        offset = number * file.page + _PAGE.size
    if offset + length > file.size:
        return cut_off(name, offset + length)
    return told(name, f"at:{offset}:{length}", length)
