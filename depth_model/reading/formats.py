"""Bytes of a depth, label or mask file to the array stored in it: the decoders that readers share.

Every decoder checks the sizes in the header before it allocates anything, runs nothing that a file holds (no pickle,
no links to other files) and raises BadInput with the reason for data that are damaged, of another format or too
large. Values come as stored: what they mean is for `depth` and for the reader.
"""

from __future__ import annotations

import io
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from depth_model.errors import BadInput

if TYPE_CHECKING:
    import h5py

MAX_PIXELS = 2**26
"""The most values of one channel that are decoded: 8192 x 8192, more than any data set has."""

_FORMATS = ("PNG", "TIFF")
_COMMENT = rb"\s+(?:#[^\n]*\n\s*)*"
_PGM = re.compile(rb"P5" + _COMMENT + rb"(\d{1,9})" + _COMMENT + rb"(\d{1,9})" + _COMMENT + rb"(\d{1,5})\s")
_PFM = re.compile(rb"(P[fF])\s+(\d{1,9})\s+(\d{1,9})\s+([-+.\deE]{1,32})[ \t]*\r?\n")

# What Pillow's parsers raise on a damaged file, depending on the format and the damage.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, LookupError, TypeError, OverflowError)


def picture(data: bytes) -> np.ndarray:
    """Return the values of a PNG, TIFF or binary PGM file, (H, W) or (H, W, channels), as stored.

    8 or 16 bit integers, 32 bit integers or floats, in native byte order; indices of a palette stay indices. Raises
    BadInput for other formats, damaged data and more than MAX_PIXELS pixels.
    """
    if not data:
        raise BadInput("empty file (0 bytes)")
    return _pgm(data) if data.startswith(b"P5") else _pillow(data)


def _pillow(data: bytes) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        _check_size(image.height, image.width)
        values = np.asarray(image)
    except Image.UnidentifiedImageError as error:
        raise BadInput("not a PNG, TIFF or binary PGM file") from error
    except Image.DecompressionBombError as error:
        raise BadInput(f"decompression bomb: {error}") from error
    except BadInput:
        raise
    except _DAMAGED as error:
        raise BadInput(f"damaged file: {error}") from error
    return values.astype(np.uint8) if values.dtype == bool else values.astype(values.dtype.newbyteorder("="))


def _pgm(data: bytes) -> np.ndarray:
    """Read a binary PGM; not by Pillow, which stretches values to 65535 when the header names a smaller maximum."""
    found = _PGM.match(data)
    if found is None:
        raise BadInput("damaged PGM header")
    width, height, maximum = (int(text) for text in found.groups())
    _check_size(height, width)
    return _raw(data[found.end() :], (height, width), np.dtype("u1" if maximum < 256 else ">u2"))


def _check_size(height: int, width: int) -> None:
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise BadInput(f"{height} x {width} pixels: 1 to {MAX_PIXELS} can be read")


def _raw(payload: bytes, shape: tuple[int, ...], dtype: np.dtype, order: str = "C") -> np.ndarray:
    """Return an array of `shape` from its bytes, in native byte order; BadInput when their number is another."""
    expected = math.prod(shape) * dtype.itemsize
    if len(payload) != expected:
        raise BadInput(f"{len(payload)} bytes of values, but {shape} of {dtype.name} need {expected}")
    return np.frombuffer(payload, dtype).reshape(shape, order=order).astype(dtype.newbyteorder("="))


def npy(data: bytes) -> np.ndarray:
    """Return the array of a NumPy file; raises BadInput for damaged data, objects (pickles) and text."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_fortran_order, dtype = read(stream)
    except (ValueError, EOFError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError) as error:
        raise BadInput(f"not a NumPy array: {error}") from error
    if dtype.kind not in "biuf":
        raise BadInput(f"not a NumPy array of numbers: {dtype}")
    if math.prod(shape) > 4 * MAX_PIXELS or any(side < 0 for side in shape):
        raise BadInput(f"a NumPy array of shape {shape} is too large")
    return _raw(data[stream.tell() :], shape, dtype, "F" if in_fortran_order else "C")


def npz(data: bytes, name: str) -> np.ndarray:
    """Return the array `name` of a NumPy archive (.npz); raises BadInput as `npy` does, and without such an array."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entry = archive.getinfo(f"{name}.npy")
            if entry.file_size > 32 * MAX_PIXELS:
                raise BadInput(f"array {name!r} of {entry.file_size} bytes is too large")
            # The size in the directory may be wrong; never more than it is read.
            with archive.open(entry) as member:
                return npy(member.read(entry.file_size))
    except BadInput:  # a ValueError itself
        raise
    except KeyError as error:
        raise BadInput(f"no array {name!r} in the archive") from error
    except (zipfile.BadZipFile, OSError, zlib.error, EOFError, ValueError, RuntimeError, struct.error) as error:
        raise BadInput(f"not a NumPy archive: {error}") from error


def pfm(data: bytes) -> np.ndarray:
    """Return a PFM file as float32 (H, W), or (H, W, 3) for a coloured one, its first row on top.

    Rows lie from bottom to top in the file, in the byte order that the sign of the scale names; the size of the scale
    is not applied, as no data set here means it. Raises BadInput for damaged data and a wrong length.
    """
    found = _PFM.match(data)
    if found is None:
        raise BadInput("not a PFM file" if data else "empty file (0 bytes)")
    kind, width, height, scale = found.groups()
    _check_size(int(height), int(width))
    try:
        order = "<" if float(scale) < 0 else ">"
    except ValueError as error:
        raise BadInput(f"damaged PFM header: scale {scale!r}") from error
    shape = (int(height), int(width)) + ((3,) if kind == b"PF" else ())
    return np.ascontiguousarray(_raw(data[found.end() :], shape, np.dtype(f"{order}f4"))[::-1])


def exr(data: bytes, channel: str | None = None) -> np.ndarray:
    """Return one channel (H, W) of an OpenEXR file as stored (float16, float32 or uint32).

    `channel` None takes the only one. Raises BadInput for damaged data, deep or multi-part files, and when there is
    no such channel.
    """
    import OpenEXR

    try:
        with OpenEXR.File(io.BytesIO(data), separate_channels=True, header_only=True, num_threads=0) as head:
            _check_exr(head)
        with OpenEXR.File(io.BytesIO(data), separate_channels=True, num_threads=0) as file:
            # The package only prints that pixels cannot be read, and leaves the file without parts.
            planes = {name: np.array(one.pixels) for name, one in file.channels().items()} if file.parts else {}
    except BadInput:
        raise
    except (RuntimeError, ValueError, TypeError, OSError, LookupError, OverflowError, MemoryError) as error:
        raise BadInput(f"not a readable OpenEXR file: {error}") from error
    if not planes:
        raise BadInput("truncated or damaged OpenEXR file")
    if channel is None and len(planes) == 1:
        return next(iter(planes.values()))
    if channel not in planes:
        raise BadInput(f"no channel {channel or 'of its own'} in an OpenEXR file of {', '.join(sorted(planes))}")
    return planes[channel]


def _check_exr(head: object) -> None:
    if len(head.parts) != 1:
        raise BadInput(f"OpenEXR file of {len(head.parts)} parts")
    header = head.header()
    kind = str(header.get("type", ""))
    if "deep" in kind:
        raise BadInput(f"OpenEXR file of type {kind}")
    (left, top), (right, bottom) = header["dataWindow"]
    _check_size(int(bottom) - int(top) + 1, int(right) - int(left) + 1)
    if len(header["channels"]) > 16:
        raise BadInput(f"OpenEXR file of {len(header['channels'])} channels")


def hdf5(data: bytes, name: str) -> np.ndarray:
    """Return the data set `name` of an HDF5 file given as bytes, as stored.

    Raises BadInput for damaged data, no such data set, anything but numbers, more than 4 * MAX_PIXELS values, and
    links or storage outside of the file, which are never followed.
    """
    import h5py

    if not data:
        raise BadInput("empty file (0 bytes)")
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _small_enough(stored_dataset(file, name))[()]
    except BadInput:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, OverflowError, MemoryError) as error:
        raise BadInput(f"not a readable HDF5 file: {error}") from error


def stored_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return the data set `name` of an open HDF5 `file`, not yet read.

    Raises BadInput when there is none, when it holds anything but numbers, and for links or storage outside of the
    file, which are never followed.
    """
    import h5py

    node = file
    for part in name.split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise BadInput(f"no data set {name!r} of its own in the HDF5 file")
        node = node[part]
    if not isinstance(node, h5py.Dataset) or node.external or node.is_virtual or node.dtype.kind not in "biuf":
        raise BadInput(f"{name!r} in the HDF5 file is not an array of numbers stored in it")
    return node


def _small_enough(dataset: h5py.Dataset) -> h5py.Dataset:
    # One chunk is unpacked as a whole, so that a small array may hide a large chunk.
    largest = max(math.prod(dataset.shape or (0,)), math.prod(dataset.chunks or (0,)))
    if largest > 4 * MAX_PIXELS:
        raise BadInput(f"{dataset.name!r} of shape {dataset.shape}, chunks {dataset.chunks}, is too large")
    return dataset


def per_pixel(values: np.ndarray) -> np.ndarray:
    """Return `values` as (H, W), a last axis of one channel dropped; BadInput unless it is one number per pixel."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim != 2 or values.dtype.kind not in "uif":
        raise BadInput(f"{values.dtype} values of shape {values.shape}, not one number per pixel")
    return values


def depth(stored: np.ndarray, unit: float = 1.0, invalid: Iterable[float] = (0.0,)) -> np.ndarray:
    """Return stored values as float32 (H, W) in metres (or whatever `unit` stored values make one of).

    NaN where there is no label: at the values `invalid`, and wherever a value is not finite before or after the
    division. Raises BadInput unless `stored` holds one number per pixel.
    """
    stored = per_pixel(stored)
    missing = ~np.isfinite(stored)
    for value in invalid:
        missing |= stored == value
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(np.float32) / np.float32(unit)
    values[missing | ~np.isfinite(values)] = np.nan
    return values
