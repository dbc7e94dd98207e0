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
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from depth_model.errors import BadInput
from depth_model.shards import decoding
from depth_model.shards.apart import apart

if TYPE_CHECKING:
    import h5py

_NO_DATA = 42113
"""GDAL's tag of TIFF: the stored value that means "no data", as text."""
_NAMED = " (the option name says which one is the depth)"

FAR = 1e9
LARGEST_HALF = 65504.0
"""What programs write for "nothing there" in floating point: 1e10, 1e20, 3.4e38, and the largest half."""

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
def _tiff(data: bytes, no_data: bool = False) -> np.ndarray:
    """Return the values of a TIFF; with `no_data`, NaN where they are what its tag of that name says."""
    if data[:2] not in (b"II", b"MM"):
        raise BadInput("not a PNG, TIFF or binary PGM file")
    try:
        image = decoding.opened(data, ["TIFF"])
        missing = image.tag_v2.get(_NO_DATA)
        values = _native(np.asarray(decoding.loaded(image)))
    except BadInput as error:
        if "unknown" not in str(error):
            raise
        values, missing = _unusual_tiff(data)
    if not no_data or missing is None:
        return values
    with decoding.faults("damaged tag of no-data values"):
        found = values == np.array(float(str(missing).strip("\0 "))).astype(values.dtype)
    values = values.astype(np.float32 if values.itemsize < 4 else np.float64) if values.dtype.kind != "f" else values
    return np.where(found, values.dtype.type(np.nan), values)


def _unusual_tiff(data: bytes) -> tuple[np.ndarray, str | None]:
    """Return values and no-data tag of a TIFF that Pillow lacks: floats of 16 and 64 bits, and integers of 64."""
    import tifffile

    with decoding.faults("damaged TIFF file"), tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        tiles = math.prod(page.chunks) * page.dtype.itemsize
        decoding.check(max(page.nbytes, tiles), f"{page.shape} pixels of {page.dtype.name}")
        tag = page.tags.get(_NO_DATA)
        return _native(page.asarray()), None if tag is None else tag.value


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


def stored(data: bytes, name: str | None = None) -> np.ndarray:
    """Return the values of a depth file of any format, told by its content: (H, W), or (H, W, 3) for a colored one.

    PNG, TIFF, PGM, PFM, NumPy, and NPZ, HDF5 and OpenEXR, whose array or channel `name` may be None when there is one
    only. Channels that are all the same are one; a TIFF's no-data value is NaN. Raises BadInput as the decoders do, for
    other formats, for lossy pictures and for palettes.
    """
    if not data:
        raise BadInput("empty file (0 bytes)")
    if data.startswith(b"\xff\xd8"):
        raise BadInput("a JPEG is lossy, and its values are no depth: store 16-bit PNG, TIFF or NumPy")
    for start, decode in _BY_CONTENT.items():
        if data.startswith(start):
            return _one_channel(decode(data, name))
    raise BadInput("not a depth file in a known format: PNG, TIFF, PGM, PFM, NumPy, NPZ, HDF5, OpenEXR")


def _depth_png(data: bytes, name: str | None) -> np.ndarray:
    depth, color = data[24:26].ljust(2, b"\0")
    if color == _PALETTE:
        raise BadInput("a PNG with a palette: a colored picture of depth, not depth")
    image = decoding.opened(data, ["PNG"], channels=8)
    if depth < 16 or color == 0:
        return _native(np.asarray(decoding.loaded(image)))
    import cv2

    # Pillow keeps eight bits of the sixteen where there are several channels.
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise BadInput("damaged image: its pixels cannot be decoded")
    return values[:, :, [2, 1, 0, *range(3, values.shape[2])]] if values.ndim == 3 else values


def _one_channel(values: np.ndarray) -> np.ndarray:
    """Return (1, H, W), (H, W, 1), and (H, W, channels) of equal or opaque channels, as (H, W)."""
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        return values[:, :, 0] if values.shape[2] == 1 else values[0]
    if values.ndim == 3 and values.shape[2] in (2, 4) and values.dtype.kind == "u":
        if (values[:, :, -1] == np.iinfo(values.dtype).max).all():
            values = values[:, :, :-1]
    if values.ndim == 3 and values.shape[2] and (values == values[:, :, :1]).all():
        return values[:, :, 0]
    return values


def _finite_halves(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.float16 and np.isposinf(values).any():
        raise BadInput("half precision with infinite values: what lay above 65504 is lost; store float32, or meters")
    return values


_PALETTE = 3
_BY_CONTENT: dict[bytes, Callable[[bytes, str | None], np.ndarray]] = {
    b"\x89PNG": _depth_png,
    b"II": lambda data, name: _tiff(data, True),
    b"MM": lambda data, name: _tiff(data, True),
    b"P5": lambda data, name: _pgm(data),
    b"Pf": lambda data, name: pfm(data),
    b"PF": lambda data, name: pfm(data),
    b"\x93NUMPY": lambda data, name: _finite_halves(npy(data)),
    b"PK": lambda data, name: npz(data, name),
    b"\x89HDF": lambda data, name: hdf5(data, name),
    b"v/1\x01": lambda data, name: exr(data, name),
}


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


def npz(data: bytes, name: str | None) -> np.ndarray:
    """Return the array `name` of a NumPy archive (.npz), the only one for None; raises BadInput as `npy` does."""
    with decoding.faults("not a NumPy archive"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = archive.getinfo(f"{_chosen(name, [one.removesuffix('.npy') for one in archive.namelist()])}.npy")
        decoding.check(entry.file_size, f"values of array {name!r}")
        # The size in the directory may be wrong; never more than it is read.
        with archive.open(entry) as member:
            return npy(member.read(entry.file_size))


def _chosen(name: str | None, names: list[str]) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        wanted = "no array of its own" if name is None else f"no array {name!r}"
        raise BadInput(f"{wanted}, but {', '.join(names[:9]) or 'none'}{_NAMED if names else ''}")
    return name


def pfm(data: bytes) -> np.ndarray:
    """Return a PFM file as float32 (H, W), or (H, W, 3) for a colored one, its first row on top.

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
        raise BadInput(
            f"no channel {channel or 'of its own'} in an OpenEXR file of {', '.join(sorted(planes))}{_NAMED}"
        )
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
def hdf5(data: bytes, name: str | None) -> np.ndarray:
    """Return the data set `name` of an HDF5 file given as bytes, as stored; for None the only one at its top.

    Raises BadInput for damaged data, no such data set, anything but numbers, more than the decode budget, and
    links or storage outside of the file, which are never followed.
    """
    import h5py

    if not data:
        raise BadInput("empty file (0 bytes)")
    with decoding.faults("not a readable HDF5 file"), h5py.File(io.BytesIO(data), "r") as file:
        chosen = _chosen(None, list(file)) if name is None else name
        return check_dataset(stored_dataset(file, chosen))[()]


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
    """Return stored values as float32 (H, W) in meters (or whatever `unit` stored values make one of).

    NaN where there is no label: at the values `invalid`, wherever a value is not finite before or after the division,
    and at what floating-point files hold for "nothing there" (LARGEST_HALF, and everything from FAR on). Raises
    BadInput unless `stored` holds one number per pixel.
    """
    stored = per_pixel(stored)
    missing = ~np.isfinite(stored)
    for value in invalid:
        missing |= stored == value
    if stored.dtype.kind == "f" and stored.itemsize > 2:
        missing |= (np.abs(stored) >= FAR) | (stored == LARGEST_HALF)
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(np.float32) / np.float32(unit)
    values[missing | ~np.isfinite(values)] = np.nan
    return values
