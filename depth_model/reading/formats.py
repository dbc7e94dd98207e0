"""Bytes of a depth, label or mask file to the array stored in it: the decoders that readers share.

Every decoder checks the sizes in the header against the decode budget before it allocates anything, runs nothing that
a file holds (no pickle, no links to other files) and raises BadInput with the reason for data that are damaged, of
another format or too large. TIFF, OpenEXR and HDF5 are decoded apart: their libraries end the process on some damaged
files. Values come as stored: what they mean is for `depth` and for the reader.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from depth_model.errors import BadInput
from depth_model.shards import decoding
from depth_model.shards.apart import apart

if TYPE_CHECKING:
    import h5py

_COMMENT = rb"\s+(?:#[^\n]*\n\s*)*"
_PGM = re.compile(rb"P5" + _COMMENT + rb"(\d{1,9})" + _COMMENT + rb"(\d{1,9})" + _COMMENT + rb"(\d{1,5})\s")
_PFM = re.compile(rb"(P[fF])\s+(\d{1,9})\s+(\d{1,9})\s+([-+.\deE]{1,32})[ \t]*\r?\n")


def picture(data: bytes) -> np.ndarray:
    """Return the values of a PNG, TIFF or binary PGM file, (H, W) or (H, W, channels), as stored.

    8 or 16 bit integers, 32 bit integers or floats, in native byte order; indices of a palette stay indices. Raises
    BadInput for other formats, damaged data and more than the decode budget.
    """
    if not data:
        raise BadInput("empty file (0 bytes)")
    if data.startswith(b"P5"):
        return _pgm(data)
    return _png(data) if data.startswith(b"\x89PNG") else _tiff(data)


def _png(data: bytes) -> np.ndarray:
    return _native(np.asarray(decoding.loaded(decoding.opened(data, ["PNG"]))))


@apart()
def _tiff(data: bytes) -> np.ndarray:
    if data[:2] not in (b"II", b"MM"):
        raise BadInput("not a PNG, TIFF or binary PGM file")
    return _native(np.asarray(decoding.loaded(decoding.opened(data, ["TIFF"]))))


def _native(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint8) if values.dtype == bool else values.astype(values.dtype.newbyteorder("="))


def _pgm(data: bytes) -> np.ndarray:
    """Read a binary PGM; not by Pillow, which stretches values to 65535 when the header names a smaller maximum."""
    found = _PGM.match(data)
    if found is None:
        raise BadInput("damaged PGM header")
    width, height, maximum = (int(text) for text in found.groups())
    return _raw(data[found.end() :], (height, width), np.dtype("u1" if maximum < 256 else ">u2"))


def _raw(payload: bytes, shape: tuple[int, ...], dtype: np.dtype, order: str = "C") -> np.ndarray:
    """Return an array of `shape` from its bytes, in native byte order; BadInput when their number is another."""
    expected = math.prod(shape) * dtype.itemsize
    sides = " x ".join(map(str, shape))
    decoding.check(expected if min(shape, default=1) >= 0 else -1, f"{sides} pixels of {dtype.name}")
    if len(payload) != expected:
        raise BadInput(f"{len(payload)} bytes of values, but {shape} of {dtype.name} need {expected}")
    return np.frombuffer(payload, dtype).reshape(shape, order=order).astype(dtype.newbyteorder("="))


def npy(data: bytes) -> np.ndarray:
    """Return the array of a NumPy file; raises BadInput for damaged data, objects (pickles) and text."""
    stream = io.BytesIO(data)
    with decoding.faults("not a NumPy array"):
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_fortran_order, dtype = read(stream)
    if dtype.kind not in "biuf":
        raise BadInput(f"not a NumPy array of numbers: {dtype}")
    return _raw(data[stream.tell() :], shape, dtype, "F" if in_fortran_order else "C")


def npz(data: bytes, name: str) -> np.ndarray:
    """Return the array `name` of a NumPy archive (.npz); raises BadInput as `npy` does, and without such an array."""
    with decoding.faults("not a NumPy archive"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        if f"{name}.npy" not in archive.namelist():
            raise BadInput(f"no array {name!r} in the archive")
        entry = archive.getinfo(f"{name}.npy")
        decoding.check(entry.file_size, f"values of array {name!r}")
        # The size in the directory may be wrong; never more than it is read.
        with archive.open(entry) as member:
            return npy(member.read(entry.file_size))


def pfm(data: bytes) -> np.ndarray:
    """Return a PFM file as float32 (H, W), or (H, W, 3) for a coloured one, its first row on top.

    Rows lie from bottom to top in the file, in the byte order that the sign of the scale names; the size of the scale
    is not applied, as no data set here means it. Raises BadInput for damaged data and a wrong length.
    """
    found = _PFM.match(data)
    if found is None:
        raise BadInput("not a PFM file" if data else "empty file (0 bytes)")
    kind, width, height, scale = found.groups()
    try:
        order = "<" if float(scale) < 0 else ">"
    except ValueError as error:
        raise BadInput(f"damaged PFM header: scale {scale!r}") from error
    shape = (int(height), int(width)) + ((3,) if kind == b"PF" else ())
    return np.ascontiguousarray(_raw(data[found.end() :], shape, np.dtype(f"{order}f4"))[::-1])


@apart()
def exr(data: bytes, channel: str | None = None) -> np.ndarray:
    """Return one channel (H, W) of an OpenEXR file as stored (float16, float32 or uint32).

    `channel` None takes the only one. Raises BadInput for damaged data, deep or multi-part files, and when there is
    no such channel.
    """
    import OpenEXR

    with decoding.faults("not a readable OpenEXR file"):
        with OpenEXR.File(io.BytesIO(data), separate_channels=True, header_only=True, num_threads=0) as head:
            _check_exr(head)
        with OpenEXR.File(io.BytesIO(data), separate_channels=True, num_threads=0) as file:
            # The package only prints that pixels cannot be read, and leaves the file without parts.
            planes = {name: np.array(one.pixels) for name, one in file.channels().items()} if file.parts else {}
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
    height, width, channels = int(bottom) - int(top) + 1, int(right) - int(left) + 1, len(header["channels"])
    size = 4 * height * width * channels if min(height, width) > 0 else -1
    decoding.check(size, f"{height} x {width} pixels of {channels} channels")


@apart()
def hdf5(data: bytes, name: str) -> np.ndarray:
    """Return the data set `name` of an HDF5 file given as bytes, as stored.

    Raises BadInput for damaged data, no such data set, anything but numbers, more than the decode budget, and
    links or storage outside of the file, which are never followed.
    """
    import h5py

    if not data:
        raise BadInput("empty file (0 bytes)")
    with decoding.faults("not a readable HDF5 file"), h5py.File(io.BytesIO(data), "r") as file:
        return check_dataset(stored_dataset(file, name))[()]


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


def check_dataset(dataset: h5py.Dataset, axes: int = 0) -> h5py.Dataset:
    """Return `dataset` if it fits the decode budget when all but its first `axes` axes are read, else BadInput."""
    # One chunk is unpacked as a whole, so that a small array may hide a large chunk.
    values = max(math.prod((dataset.shape or (0,))[axes:]), math.prod(dataset.chunks or (0,)))
    decoding.check(values * dataset.dtype.itemsize, f"{dataset.name!r} of shape {dataset.shape}, {dataset.chunks}")
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
