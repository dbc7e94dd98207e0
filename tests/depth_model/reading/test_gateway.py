"""The door for decoders: nothing is started, nothing outside is read, and no file decodes to more than the budget."""

from __future__ import annotations

import io
import re
import struct
import zlib

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image

from depth_model.errors import BadInput
from depth_model.reading import archives, formats, video
from depth_model.shards import decoding, images, rasters

pytestmark = pytest.mark.hostile

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n"


def saved(image, kind, **how):
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def test_pillow_opens_files_in_one_place_only(repository):
    asked = re.compile(r"Image\.open\(|VideoCapture\(|cv2\.imread\(|np\.load\(|imdecode\(")
    found = {
        path.relative_to(repository).as_posix(): asked.findall(path.read_text())
        for room in ("depth_model", "tasks", "flows", "experiments")
        for path in (repository / room).rglob("*.py")
    }
    found = {path: uses for path, uses in found.items() if uses}
    assert found.pop("depth_model/reading/video.py") == ["VideoCapture("]
    assert found.pop("depth_model/sky/train_probe.py") == ["np.load("]  # of the maintainers' own files, by hand
    assert found.pop("depth_model/reading/formats.py") == ["imdecode("]  # of a PNG that came through the door
    assert found.pop("depth_model/evaluation/corruptions.py") == ["imdecode("]  # of a JPEG that it has just made
    assert found == {}


def test_an_eps_named_like_a_photo_starts_nothing(monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given: pytest.fail("Ghostscript was started"))
    for decode in (images.decode_rgb, images.stored_shape, formats.picture, rasters.decode_labels):
        with pytest.raises(BadInput, match="not a"):
            decode(EPS)


@pytest.mark.parametrize("kind", ["ICNS", "PCX", "TGA", "SGI", "PDF", "EPS", "MSP", "DDS"])
def test_formats_that_are_not_on_the_list_are_refused(kind):
    with pytest.raises(BadInput, match="not a"):
        images.decode_rgb(saved(Image.new("1" if kind == "MSP" else "RGB", (40, 40)), kind))


def small_video(path, frames=5):
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    writer.release()


@pytest.mark.parametrize("name", ["evil.mp4", "evil.avi", "evil.mkv"])
def test_a_list_of_other_files_is_no_video(tmp_path, name):
    small_video(tmp_path / "outside.avi")
    root = tmp_path / "root"
    root.mkdir()
    (root / name).write_text(f"ffconcat version 1.0\nfile '{tmp_path}/outside.avi'\n")
    with pytest.raises(BadInput, match="not a video in a known container"):
        video.announced_frames(root / name)
    assert [(one.place, one.name) for one in archives.members(root / name)] == [("", "")]


def test_a_video_in_a_container_that_names_other_files_is_refused_by_ffmpeg_too(tmp_path, monkeypatch):
    # Past the check of the first bytes, FFmpeg's own list of formats must hold.
    small_video(tmp_path / "outside.avi")
    path = tmp_path / "evil.mp4"
    path.write_text(f"ffconcat version 1.0\nfile '{tmp_path}/outside.avi'\n")
    monkeypatch.setattr(video, "_check_container", lambda path: None)
    with pytest.raises(BadInput, match="cannot be read as a video"):
        video.announced_frames.__wrapped__(path)


def test_a_video_that_announces_more_frames_than_it_has_room_for_is_counted(tmp_path):
    path = tmp_path / "a.avi"
    small_video(path)
    data = bytearray(path.read_bytes())
    for name, at in ((b"avih", 24), (b"strh", 40)):
        where = data.index(name) + at
        assert struct.unpack_from("<I", data, where) == (5,)
        struct.pack_into("<I", data, where, 2**31 - 1)
    path.write_bytes(data)
    assert video.announced_frames(path) == 5
    assert len(list(video.frames(path))) == 5
    assert [one.place for one in archives.members(path, 2)] == ["frame:0", "frame:2", "frame:4"]


def hdf5_of_fill_values(side):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("depth", (side, side), np.float64, chunks=(64, 64), compression="gzip", fillvalue=7.0)
    return buffer.getvalue()


def npz_of_zeros(count):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, depth=np.zeros(count, np.uint8))
    return buffer.getvalue()


def png_of_zeros(side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((2 * side + 1) * side), 9)
    head = struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


LARGE = {
    "HDF5 fill values": (lambda data: formats.hdf5(data, "depth"), lambda: hdf5_of_fill_values(1200)),
    "npz": (lambda data: formats.npz(data, "depth"), lambda: npz_of_zeros(11_000_000)),
    "png": (formats.picture, lambda: png_of_zeros(2400)),
    "picture": (images.decode_rgb, lambda: saved(Image.new("RGB", (2000, 2000)), "JPEG")),
    "tiff": (formats.picture, lambda: saved(Image.new("F", (1700, 1700)), "TIFF", compression="tiff_adobe_deflate")),
    "avif": (images.decode_rgb, lambda: saved(Image.new("RGB", (2000, 2000)), "AVIF", speed=10)),
    "pgm": (formats.picture, lambda: b"P5 4000 3000 255 " + bytes(12_000_000)),
}


@pytest.mark.parametrize("name", LARGE)
def test_the_budget_refuses_by_name_and_reads_below_it(name):
    decode, make = LARGE[name]
    data = make()
    assert decode(data).size > 10**6
    with decoding.limited_to(10**7), pytest.raises(BadInput, match=r"collect\.decode_budget is 10000000"):
        decode(data)


def test_phones_of_two_hundred_megapixels_fit_the_default_budget(monkeypatch):
    data = bytearray(saved(Image.new("RGB", (64, 64)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    struct.pack_into(">HH", data, at, 12240, 16320)
    assert images.stored_shape(bytes(data)) == (12240, 16320)


def test_tiles_of_a_tiff_count_too():
    tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (277, 1), (322, 2**20), (323, 2**20), (324, 8), (325, 64)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    with pytest.raises(BadInput, match="tiles of 1048576 x 1048576 pixels are too large"):
        formats.picture(b"II*\0\x08\0\0\0" + directory + bytes(80))


@pytest.mark.parametrize(
    ("text", "size"), [("1 GB", 10**9), ("500MB", 5 * 10**8), ("1.5 kB", 1500), ("7 B", 7), (12, 12)]
)
def test_sizes_with_units(text, size):
    assert decoding.bytes_of(text) == size


@pytest.mark.parametrize("text", ["1 TB", "much", "-1 GB", ""])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is no size"):
        decoding.bytes_of(text)
