"""Decoders of depth files against files written by other tools, and against what is wrong with files."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import cv2
import h5py
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from depth_model.errors import BadInput
from depth_model.reading import formats

GENERATOR = np.random.default_rng(0)
SIXTEEN_BITS = GENERATOR.integers(0, 2**16, (5, 7)).astype(np.uint16)
FLOATS = GENERATOR.random((5, 7)).astype(np.float32)


def pillow(values, **how):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, **how)
    return buffer.getvalue()


def numpy_file(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def hdf5_file(fill):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def exr_file(path, channels, compression=OpenEXR.ZIP_COMPRESSION):
    OpenEXR.File({"compression": compression, "type": OpenEXR.scanlineimage}, channels).write(str(path))
    return path.read_bytes()


@pytest.mark.parametrize("ending", [".png", ".tiff", ".pgm"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pictures_of_opencv(ending, dtype):
    values = SIXTEEN_BITS.astype(dtype)
    decoded = formats.picture(cv2.imencode(ending, values)[1].tobytes())
    assert decoded.dtype == dtype
    assert decoded.dtype.isnative
    assert np.array_equal(decoded, values)


def test_other_pictures():
    assert np.array_equal(formats.picture(cv2.imencode(".tiff", FLOATS)[1].tobytes()), FLOATS)
    palette = Image.fromarray((SIXTEEN_BITS % 3).astype(np.uint8), "L").convert("P")
    buffer = io.BytesIO()
    palette.save(buffer, "PNG")
    assert np.array_equal(formats.picture(buffer.getvalue()), SIXTEEN_BITS % 3)
    mask = formats.picture(pillow(SIXTEEN_BITS > 30000, format="PNG"))
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, SIXTEEN_BITS > 30000)


@pytest.mark.parametrize("maximum", [7, 4000])
def test_a_pgm_is_not_stretched_to_its_maximum(maximum):
    values = SIXTEEN_BITS % maximum
    stored = values.astype(">u2" if maximum > 255 else "u1").tobytes()
    data = b"P5\n# written by hand\n7 5\n%d\n" % maximum + stored
    assert np.array_equal(formats.picture(data), values)


@pytest.mark.parametrize("values", [FLOATS, SIXTEEN_BITS, FLOATS.astype(">f8"), np.asfortranarray(FLOATS)])
def test_numpy_files(values):
    decoded = formats.npy(numpy_file(values))
    assert decoded.dtype.isnative
    assert np.array_equal(decoded, values)
    archive = io.BytesIO()
    np.savez_compressed(archive, data=values)
    assert np.array_equal(formats.npz(archive.getvalue(), "data"), values)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pfm_lies_from_bottom_to_top(order):
    head = b"Pf\n7 5\n%s\n" % (b"-1.0" if order == "<" else b"1.0")
    data = head + FLOATS[::-1].astype(f"{order}f4").tobytes()
    assert np.array_equal(formats.pfm(data), FLOATS)


def test_a_pfm_of_opencv():
    assert np.array_equal(formats.pfm(cv2.imencode(".pfm", FLOATS)[1].tobytes()), FLOATS)


def test_openexr_files(tmp_path):
    half = FLOATS.astype(np.float16)
    both = exr_file(tmp_path / "both.exr", {"Y": FLOATS, "Z": half}, OpenEXR.PIZ_COMPRESSION)
    assert np.array_equal(formats.exr(both, "Y"), FLOATS)
    assert formats.exr(both, "Z").dtype == np.float16
    assert np.array_equal(formats.exr(exr_file(tmp_path / "one.exr", {"G": FLOATS})), FLOATS)
    with pytest.raises(
        BadInput, match=r"no channel of its own in an OpenEXR file of Y, Z \(the option name says which"
    ):
        formats.exr(both)
    with pytest.raises(BadInput, match="no channel R"):
        formats.exr(both, "R")


def test_hdf5_files():
    def fill(file):
        file.create_dataset("a/depth", data=FLOATS, chunks=(2, 3), compression="gzip")

    assert np.array_equal(formats.hdf5(hdf5_file(fill), "a/depth"), FLOATS)
    with pytest.raises(BadInput, match="no data set 'depth'"):
        formats.hdf5(hdf5_file(fill), "depth")


def external_storage(file):
    file.create_dataset("depth", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def external_link(file):
    file["depth"] = h5py.ExternalLink("/etc/passwd", "depth")


def virtual(file):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "depth", (4,))
    file.create_virtual_dataset("depth", layout)


def text(file):
    file["depth"] = "1 2 3"


def sparse(file):
    file.create_dataset("depth", (2**20, 2**20), "f4", chunks=(64, 64))


def large_chunk(file):
    file.create_dataset("depth", (4, 4), "f4", chunks=(2**15, 2**14), maxshape=(None, None), compression="gzip")


@pytest.mark.parametrize("fill", [external_storage, external_link, virtual, text, sparse, large_chunk])
def test_hdf5_files_that_reach_out_or_are_too_large_are_refused(fill):
    with pytest.raises(BadInput, match=r"own|stored in it|too large"):
        formats.hdf5(hdf5_file(fill), "depth")


def header_of(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def png_header_of(width, height):
    whole = bytearray(pillow(SIXTEEN_BITS, format="PNG"))
    whole[16:24] = struct.pack(">II", width, height)
    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    return bytes(whole)


@pytest.mark.parametrize(
    ("decode", "data", "reason"),
    [
        (formats.picture, b"", "empty file"),
        (formats.picture, b"no picture", "not a PNG, TIFF or binary PGM"),
        (formats.picture, pillow(np.zeros((8, 8, 3), np.uint8), format="JPEG"), "not a PNG, TIFF or binary PGM"),
        (formats.picture, pillow(SIXTEEN_BITS, format="PNG")[:-30], "damaged image"),
        (formats.picture, png_header_of(2**15, 2**14), "pixels"),
        (formats.picture, b"P5 7 5 65535 \0\0", "bytes of values"),
        (formats.picture, b"P5 999999999 999999999 255 \0", "pixels"),
        (formats.picture, b"P5 seven", "PGM header"),
        (formats.npy, b"", "not a NumPy array"),
        (formats.npy, numpy_file(np.array([{"a": 1}], object)), "array of numbers: object"),
        (formats.npy, numpy_file(np.array(["text"])), "array of numbers"),
        (formats.npy, numpy_file(FLOATS)[:-1], "bytes of values"),
        (formats.npy, header_of((2**40, 2**40)), "too large"),
        (formats.npy, header_of((-4, -4)), "nothing to read"),
        (formats.npy, header_of((2**13, 2**13)), "bytes of values"),
        (lambda data: formats.npz(data, "data"), b"PK\x03\x04", "not a NumPy archive"),
        (formats.pfm, b"", "empty file"),
        (formats.pfm, b"Pf\n7 5\n-1.0\n\0", "bytes of values"),
        (formats.pfm, b"Pf\n0 5\n-1.0\n", "pixels"),
        (formats.pfm, b"Pf\n7 5\n-.-\n", "scale"),
        (formats.pfm, b"P6\n7 5\n255\n", "not a PFM"),
        (formats.exr, b"", "OpenEXR"),
        (formats.exr, b"v/1\x01" * 30, "OpenEXR"),
        (lambda data: formats.hdf5(data, "depth"), b"", "empty file"),
        (lambda data: formats.hdf5(data, "depth"), b"\x89HDF\r\n\x1a\n" * 9, "HDF5"),
    ],
)
def test_what_is_wrong_is_said(decode, data, reason):
    with pytest.raises(BadInput, match=reason):
        decode(data)


def test_truncated_openexr_files_are_refused(tmp_path):
    noise = GENERATOR.random((64, 48)).astype(np.float32)
    whole = exr_file(tmp_path / "whole.exr", {"G": noise})
    for length in (100, len(whole) // 2, len(whole) - 8):
        with pytest.raises(BadInput, match="OpenEXR"):
            formats.exr(whole[:length])


def test_an_archive_without_the_array_or_with_a_bomb_is_refused():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data.npy", header_of((2**13, 2**13)) + b"\0" * 100)
    with pytest.raises(BadInput, match="no array 'depth'"):
        formats.npz(archive.getvalue(), "depth")
    with pytest.raises(BadInput, match="bytes of values"):
        formats.npz(archive.getvalue(), "data")


def test_depth_of_stored_values():
    stored = np.array([[0, 500, 65535], [1000, 1, 2]], np.uint16)
    expected = np.array([[np.nan, 0.5, np.nan], [1, 0.001, 0.002]], np.float32)
    assert np.array_equal(formats.depth(stored[:, :, None], 1000, (0, 65535)), expected, equal_nan=True)
    wild = np.array([[np.nan, np.inf, -np.inf, 1e300, -1.0, 0.0]])
    assert np.array_equal(formats.depth(wild, 1, ()), [[np.nan, np.nan, np.nan, np.nan, -1, 0]], equal_nan=True)
    with pytest.raises(BadInput, match="not one number per pixel"):
        formats.depth(np.zeros((2, 3, 3)))


def test_an_unclosed_head_of_a_numpy_file_is_refused():
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': 6, 8), \x7f"
    with pytest.raises(BadInput, match="not a NumPy array"):
        formats.npy(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
