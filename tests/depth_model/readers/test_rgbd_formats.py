"""One depth map in the formats and conventions that people have: read right, or refused by its own name."""

from __future__ import annotations

import io

import cv2
import h5py
import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image

from depth_model.errors import BadInput
from depth_model.readers import get

H, W = 12, 16
METERS = np.tile(np.linspace(1, 5, W, dtype=np.float32), (H, 1))
METERS[:2, :3] = 0
HOLE = METERS == 0
MM = np.rint(METERS * 1000).astype(np.uint16)
EIGHT = np.rint(METERS * 51).astype(np.uint8)


def saved(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def png(values):
    return saved(lambda buffer: Image.fromarray(values).save(buffer, "PNG"))


def tif(values, **how):
    return saved(lambda buffer: tifffile.imwrite(buffer, values, **how))


def opencv_png(values):
    return cv2.imencode(".png", values)[1].tobytes()


def without(value):
    return np.where(HOLE, np.float32(value), METERS)


def no_data(text):
    return {"extratags": [(42113, "s", 0, text, True)]}


def hdf5():
    def write(buffer):
        with h5py.File(buffer, "w") as file:
            file["depth"] = METERS

    return saved(write)


def exr(tmp_path, *names):
    path = tmp_path / "made.exr"
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    OpenEXR.File(header, {name: METERS for name in names}).write(str(path))
    return path.read_bytes()


def read(tmp_path, data, **options):
    (tmp_path / "rgb").mkdir()
    (tmp_path / "depth").mkdir()
    Image.new("RGB", (W, H)).save(tmp_path / "rgb/1.png")
    (tmp_path / "depth/1.any").write_bytes(data)
    (sample,) = get("rgbd_folder")(tmp_path, color="rgb/*.png", depth="depth/*.any", **options)
    return sample.target


TWO = np.dstack([MM] * 3)
HALVES = METERS.astype(np.float16)
PFM = b"Pf\n%d %d\n-1.0\n" % (W, H) + METERS[::-1].tobytes()
READ = {
    "16-bit PNG": (png(MM), {"unit": 1000}, 1e-3),
    "three equal channels of 16 bits": (opencv_png(TWO), {"unit": 1000}, 1e-3),
    "opaque": (opencv_png(np.dstack([TWO, np.full_like(MM, 65535)])), {"unit": 1000}, 1e-3),
    "rgb24": (
        png(np.dstack([MM % 256, MM // 256, 0 * MM]).astype(np.uint8)),
        {"unit": 1000, "coding": "rgb24"},
        1e-3,
    ),
    "8 bits": (png(EIGHT), {"range": (0, 5)}, 0.02),
    "8 bits, 0 is farthest": (
        png(np.rint((10 - METERS) * 25.5).astype(np.uint8)),
        {"range": (10, 0), "invalid": (255,)},
        0.04,
    ),
    "log": (
        png(np.where(HOLE, 0, np.rint(65535 * np.log(np.maximum(METERS, 0.5) / 0.5) / np.log(20))).astype(np.uint16)),
        {"range": (0.5, 10), "coding": "log"},
        1e-3,
    ),
    "float TIFF": (tif(METERS), {"unit": 1}, 0),
    "no data -9999": (tif(without(-9999), **no_data("-9999")), {"unit": 1}, 0),
    "no data 1e20": (tif(without(1e20), **no_data("1e+20")), {"unit": 1}, 0),
    "integer no data": (tif(np.where(HOLE, 7, MM).astype(np.uint16), **no_data("7")), {"unit": 1000}, 1e-3),
    "1e10": (tif(without(1e10)), {"unit": 1}, 0),
    "largest float": (tif(without(3.4028235e38)), {"unit": 1}, 0),
    "largest half": (tif(without(65504)), {"unit": 1}, 0),
    "TIFF of doubles": (tif(METERS.astype(np.float64)), {"unit": 1}, 0),
    "TIFF of halves": (tif(HALVES), {"unit": 1}, 2e-3),
    "signed TIFF": (tif(MM.astype(np.int16)), {"unit": 1000}, 1e-3),
    "tiled, big end first": (tif(MM, byteorder=">", tile=(16, 16)), {"unit": 1000}, 1e-3),
    "32 bits": (tif(MM.astype(np.uint32)), {"unit": 1000}, 1e-3),
    "NumPy of one channel": (saved(lambda buffer: np.save(buffer, METERS[None])), {"unit": 1}, 0),
    "NumPy, channel last": (saved(lambda buffer: np.save(buffer, METERS[..., None])), {"unit": 1}, 0),
    "NPZ": (saved(lambda buffer: np.savez(buffer, depth=METERS)), {"unit": 1}, 0),
    "NPZ of two": (saved(lambda buffer: np.savez(buffer, depth=METERS, other=MM)), {"unit": 1, "name": "depth"}, 0),
    "PFM": (PFM, {"unit": 1}, 0),
    "HDF5": (hdf5(), {"unit": 1}, 0),
    "half size": (png(MM[::2, ::2]), {"unit": 1000, "resize": True}, 0.3),
}
REFUSED = {
    "8 bits with a unit": (png(EIGHT), {"unit": 51}, "8 bits hold no meters"),
    "colored": (png(np.dstack([EIGHT, EIGHT // 2, EIGHT])), {"unit": 1}, "coding: rgb24"),
    "palette": (
        saved(lambda buffer: Image.fromarray(EIGHT).convert("P").save(buffer, "PNG")),
        {"unit": 1},
        "palette",
    ),
    "JPEG": (saved(lambda buffer: Image.fromarray(EIGHT).save(buffer, "JPEG")), {"unit": 1}, "JPEG is lossy"),
    "raw": (METERS.tobytes(), {"unit": 1}, "not a depth file in a known format"),
    "objects": (
        saved(lambda buffer: np.save(buffer, np.array([METERS, None], object), allow_pickle=True)),
        {"unit": 1},
        "array of numbers: object",
    ),
    "overflown halves": (
        saved(lambda buffer: np.save(buffer, np.full((H, W), np.inf, np.float16))),
        {"unit": 1},
        "half precision",
    ),
    "two arrays": (saved(lambda buffer: np.savez(buffer, depth=METERS, other=MM)), {"unit": 1}, "but depth, other"),
    "half size": (png(MM[::2, ::2]), {"unit": 1000}, "resize: true"),
    "turned": (png(MM.T.copy()), {"unit": 1000, "resize": True}, "not registered"),
}


@pytest.mark.parametrize("name", READ)
def test_read_right(tmp_path, name):
    data, options, tolerance = READ[name]
    found = read(tmp_path, data, **options)
    assert found.dtype == np.float32
    assert np.array_equal(np.isnan(found), HOLE) or name == "half size"
    both = ~np.isnan(found) & ~HOLE
    assert np.abs(found - METERS)[both].max() <= tolerance


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(tmp_path, name):
    data, options, reason = REFUSED[name]
    with pytest.raises(BadInput, match=reason):
        read(tmp_path, data, **options)


def test_openexr(tmp_path):
    assert np.array_equal(np.isnan(read(tmp_path, exr(tmp_path, "Z"), unit=1)), HOLE)
    (tmp_path / "second").mkdir()
    assert read(tmp_path / "second", exr(tmp_path, "R", "depth.V"), unit=1, name="depth.V").shape == (H, W)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"unit": 1, "range": (0, 5)},
        {"coding": "log", "unit": 1},
        {"coding": "log", "range": (0, 5)},
        {"coding": "rgb24", "range": (0, 5)},
    ],
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(ValueError, match=r"unit|range"):
        get("rgbd_folder").options(color="*.png", depth="*.tif", **options)
