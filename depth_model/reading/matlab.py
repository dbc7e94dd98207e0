"""Variables of MATLAB files of the versions 5 to 7.2: numbers and cell arrays of text, which is all that splits need.

Not by scipy, whose reader ends the whole process with a segmentation fault on some damaged files. Here every length is
checked before it is used, and memory is bounded. Files of version 7.3 are HDF5: `formats.stored_dataset`.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from depth_model.errors import BadInput

MAX_BYTES = 2**28
"""The most bytes that one compressed variable may unpack to."""

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_CELL, _TEXT, _NUMERIC = 1, 4, range(6, 16)


class _Element(NamedTuple):
    kind: int
    data: bytes


def variable(data: bytes, name: str) -> np.ndarray | list[str]:
    """Return the variable `name` of a MATLAB file: an array of numbers, or the texts of a cell array in order.

    Raises BadInput for damaged data, other kinds of variables, no such variable, and more than MAX_BYTES.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise BadInput("not a MATLAB file of version 5 to 7.2")
    for element in _elements(data[_HEADER:], order):
        if element.kind == _COMPRESSED:
            element = next(_elements(_unpacked(element.data), order), element)
        if element.kind == _MATRIX:
            parts = _elements(element.data, order)
            kind, shape, found = _matrix_head(parts, order)
            if found == name:
                return _values(kind, shape, parts, order)
    raise BadInput(f"no variable {name!r} in the MATLAB file")


def _elements(data: bytes, order: str) -> Iterator[_Element]:
    """Yield the elements of `data`; each but a compressed one fills a multiple of eight bytes."""
    position = 0
    while len(data) - position >= 8:
        kind, size = struct.unpack_from(f"{order}II", data, position)
        start = position + 8
        if kind >> 16:  # up to four bytes lie within the tag itself
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
        end = start + size
        if end > len(data) or (start == position + 4 and size > 4):
            raise BadInput(f"damaged MATLAB file: an element of {size} bytes, {len(data) - start} are left")
        yield _Element(kind, data[start:end])
        position = end if kind == _COMPRESSED else position + -(-(end - position) // 8) * 8


def _unpacked(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise BadInput(f"damaged MATLAB file: {error}") from error
    if not stream.eof:
        raise BadInput(f"damaged MATLAB file: a variable is cut off, or unpacks to more than {MAX_BYTES} bytes")
    return unpacked


def _matrix_head(parts: Iterator[_Element], order: str) -> tuple[int, tuple[int, ...], str]:
    """Return class, shape and name, which lead every matrix."""
    head = [element.data for _, element in zip(range(3), parts)]
    if len(head) < 3 or len(head[0]) < 4 or not head[1] or len(head[1]) % 4:
        raise BadInput("damaged MATLAB file: a matrix without class, shape and name")
    flags = struct.unpack_from(f"{order}I", head[0])[0]
    shape = struct.unpack(f"{order}{len(head[1]) // 4}i", head[1])
    return flags & 0xFF, shape, head[2].decode("latin-1")


def _values(kind: int, shape: tuple[int, ...], parts: Iterator[_Element], order: str) -> np.ndarray | list[str]:
    count = math.prod(shape)
    if kind == _CELL:
        texts = [_text(part, order) for part in parts]
        if len(texts) != count:
            raise BadInput(f"damaged MATLAB file: {len(texts)} of {count} cells")
        return texts
    content = next(parts, _Element(0, b""))
    if kind not in _NUMERIC or content.kind not in _NUMBERS:
        raise BadInput(f"variable of class {kind} in the MATLAB file: neither numbers nor a cell array of texts")
    dtype = np.dtype(_NUMBERS[content.kind]).newbyteorder(order)
    if min(shape) < 0 or len(content.data) != count * dtype.itemsize:
        raise BadInput(f"damaged MATLAB file: {len(content.data)} bytes for an array of shape {shape}")
    values = np.frombuffer(content.data, dtype).reshape(shape, order="F")
    return values.astype(dtype.newbyteorder("="))


def _text(cell: _Element, order: str) -> str:
    if cell.kind != _MATRIX:
        raise BadInput("damaged MATLAB file: a cell that is not a matrix")
    parts = _elements(cell.data, order)
    kind, _, _ = _matrix_head(parts, order)
    content = next(parts, _Element(16, b""))
    if kind != _TEXT or content.kind not in _TEXTS:
        raise BadInput(f"a cell of class {kind} in the MATLAB file, not text")
    encoding = _TEXTS[content.kind] + ({"<": "-le", ">": "-be"}[order] if _TEXTS[content.kind] == "utf-16" else "")
    return content.data.decode(encoding, "replace")
