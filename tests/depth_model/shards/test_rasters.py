"""Raster codecs: every bit comes back, the stated error is kept, damage is found."""

from __future__ import annotations

import io
import json
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from depth_model.errors import BadInput
from depth_model.shards import rasters


def same_bits(first: np.ndarray, second: np.ndarray) -> bool:
    """Equal bit by bit, where any NaN equals any NaN."""
    known = ~np.isnan(first)
    return np.array_equal(known, ~np.isnan(second)) and np.array_equal(
        first[known].view(np.uint32), second[known].view(np.uint32)
    )


def maps(seed: int):
    """Maps of many shapes and kinds of values, with holes."""
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 40, 2))
    stored = generator.integers(0, 65536, shape)
    yield from ((stored / unit).astype(np.float32) for unit in (1, 100, 256, 1000, 5000, 10000))
    yield (generator.integers(-300, 300, shape) / 256).astype(np.float32)
    yield generator.normal(size=shape).astype(np.float32)
    yield np.exp(generator.normal(0, 20, shape)).astype(np.float32)
    yield generator.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
    yield np.full(shape, -0.0, np.float32)


@pytest.mark.parametrize("seed", range(20))
def test_exact_gives_back_every_bit(seed):
    generator = np.random.default_rng(seed)
    for values in maps(seed):
        values = np.where(np.isinf(values), np.float32(1), values)
        values[generator.random(values.shape) < generator.choice([0, 0.3, 1])] = np.nan
        assert same_bits(rasters.decode(rasters.encode_exact(values)), values)


@pytest.mark.parametrize(("unit", "scale"), [(1000, 1000), (5000, 5000), (256, 256), (100, 100), (10, 100), (1, 1)])
def test_depth_of_integer_files_is_stored_as_integers(unit, scale):
    stored = np.random.default_rng(0).integers(1, 6000, (30, 40)).astype(np.uint16)
    for values in (stored.astype(np.float32) / np.float32(unit), (stored / unit).astype(np.float32)):
        head = rasters.header(rasters.encode_exact(values))
        assert (head["codec"], head["scale"], head["bits"]) == ("integer", scale, 16)
        assert (head["height"], head["width"]) == (30, 40)
        assert head["minimum"] == values.min()
        assert head["maximum"] == values.max()


def test_real_depth_is_smaller_than_its_png(samples):
    path = samples / "7scenes" / "redkitchen" / "frame-000000.depth.png"
    stored = np.asarray(Image.open(path)).astype(np.float32)
    stored[stored == 0] = np.nan
    encoded = rasters.encode_exact(stored / np.float32(1000))
    assert rasters.header(encoded)["codec"] == "integer"
    assert len(encoded) < 1.2 * path.stat().st_size  # measured 1.15: noisy depth favors the slow PNG


@pytest.mark.parametrize("bits", [2, 8, 12, 14, 16])
def test_quantized_is_linear_between_exact_ends(bits):
    values = np.random.default_rng(bits).random((50, 60)).astype(np.float32) * 7
    values[0, 0], values[0, 1], values[3:5] = 0, 7, np.nan
    decoded = rasters.decode(rasters.encode_quantized(values, bits))
    assert decoded[0, 0] == 0
    assert decoded[0, 1] == 7
    assert np.array_equal(np.isnan(decoded), np.isnan(values))
    assert np.nanmax(np.abs(decoded - values)) <= 7 / (2**bits - 2) / 2 * 1.001
    assert len(np.unique(decoded[~np.isnan(decoded)])) <= 2**bits - 1


def smooth(height, width):
    """A map as a network gives it: coarse values, enlarged bilinearly."""
    coarse = np.random.default_rng(5).random((height // 7, width // 7)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("bits", [8, 12, 14])
def test_smooth_maps_are_predicted_to_the_second_order(bits):
    values = smooth(98, 140)
    data = rasters.encode_quantized(values, bits)
    assert rasters.header(data)["order"] == 2
    wanted = 1 + np.rint((values.astype(np.float64) - values.min()) * ((2**bits - 2) / np.ptp(values).astype(float)))
    np.testing.assert_array_equal(rasters.decode_codes(data), wanted)


@pytest.mark.parametrize("bits", [12, 14, 16])
def test_the_roughest_maps_come_back(bits):
    rows, columns = np.mgrid[0:60, 0:80]
    for values in ((rows + columns) % 2, columns % 2, (rows // 30 + columns // 40) % 2):
        codes = rasters.decode_codes(rasters.encode_quantized(values.astype(np.float32), bits))
        np.testing.assert_array_equal(codes, 1 + values * (2**bits - 2))


def test_rasters_without_an_order_are_of_the_first():
    values = np.random.default_rng(6).random((9, 7)).astype(np.float32)
    data = rasters.encode_quantized(values, 10)
    length = struct.unpack("<I", data[4:8])[0]
    head = {name: value for name, value in json.loads(data[8 : 8 + length]).items() if name != "order"}
    text = json.dumps(head).encode()
    older = data[:4] + struct.pack("<I", len(text)) + text + data[8 + length :]
    np.testing.assert_array_equal(rasters.decode(older), rasters.decode(data))


def test_quantized_without_labels_or_without_range():
    nothing = np.full((3, 4), np.nan, np.float32)
    assert np.isnan(rasters.decode(rasters.encode_quantized(nothing, 14))).all()
    assert rasters.header(rasters.encode_quantized(nothing, 14))["minimum"] is None
    constant = np.full((3, 4), 2.5, np.float32)
    assert np.array_equal(rasters.decode(rasters.encode_quantized(constant, 14)), constant)


def test_codes_are_linear_and_zero_without_a_label():
    values = np.array([[3, np.nan, 5, 4]], np.float32)
    assert rasters.decode_codes(rasters.encode_quantized(values, 14)).tolist() == [[1, 0, 16383, 8192]]
    with pytest.raises(BadInput, match="'integer'"):
        rasters.decode_codes(rasters.encode_exact(values))


def test_infinite_values_and_other_arrays_are_refused():
    values = np.ones((2, 2), np.float32)
    values[1, 1] = np.inf
    for encode in (rasters.encode_exact, lambda array: rasters.encode_quantized(array, 8)):
        with pytest.raises(BadInput, match="infinite"):
            encode(values)
        for wrong in (np.ones((2, 2)), np.ones(4, np.float32), np.ones((0, 3), np.float32)):
            with pytest.raises(ValueError, match="float32"):
                encode(wrong)
    with pytest.raises(ValueError, match="bits = 17"):
        rasters.encode_quantized(np.ones((2, 2), np.float32), 17)


def test_the_same_values_give_the_same_bytes():
    values = np.random.default_rng(1).random((20, 30)).astype(np.float32)
    other_nan = np.array([0x7FC12345], np.uint32).view(np.float32)[0]
    first, second = values.copy(), values.copy()
    first[2, 2], second[2, 2] = np.nan, other_nan
    assert rasters.encode_exact(first) == rasters.encode_exact(second)


def examples() -> list[bytes]:
    values = np.random.default_rng(2).integers(0, 999, (9, 7)).astype(np.float32)
    return [
        rasters.encode_exact(values),
        rasters.encode_exact(values * np.float32(np.pi)),
        rasters.encode_quantized(values, 10),
        rasters.encode_quantized(smooth(14, 21), 10),
    ]


@pytest.mark.parametrize("data", examples())
def test_every_cut_is_bad_input(data):
    for length in range(len(data)):
        with pytest.raises(BadInput):
            rasters.decode(data[:length])
    with pytest.raises(BadInput):
        rasters.decode(data + b"\0")


@pytest.mark.parametrize("data", examples())
def test_damage_is_bad_input(data):
    body, good = 8 + struct.unpack("<I", data[4:8])[0], rasters.decode(data)
    for place in range(len(data)):
        for change in (1, 128, 255):
            damaged = data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]
            try:
                decoded = rasters.decode(damaged)
            except BadInput:
                continue
            # Another number in the header may be as good as the one written; zstandard has bits without a meaning.
            assert 8 <= place < body or np.array_equal(decoded, good)


def rewritten(data: bytes, **fields) -> bytes:
    length = struct.unpack("<I", data[4:8])[0]
    head = json.loads(data[8 : 8 + length]) | fields
    text = json.dumps(head).encode()
    return data[:4] + struct.pack("<I", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    "fields",
    [
        {"codec": "other"},
        {"height": 0},
        {"height": 10},
        {"width": 65536},
        {"width": "7"},
        {"bits": 40},
        {"bits": 3},
        {"order": 3},
        {"order": 1.0},
        {"order": 2, "bits": 15},
        {"minimum": None},
        {"maximum": float("nan")},
    ],
)
def test_a_header_that_cannot_be_is_bad_input(fields):
    with pytest.raises(BadInput, match="damaged raster"):
        rasters.decode(rewritten(examples()[2], **fields))


def test_labels_and_masks_come_back_and_are_plain_pngs():
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 256, (13, 17))
    data = rasters.encode_labels(labels)
    assert np.array_equal(rasters.decode_labels(data), labels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), labels)
    mask = generator.random((13, 17)) < 0.5
    data = rasters.encode_mask(mask)
    assert np.array_equal(rasters.decode_mask(data), mask)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("L")) > 0, mask)


def test_labels_and_masks_refuse_what_they_are_not():
    with pytest.raises(BadInput, match="outside 0 to 255"):
        rasters.encode_labels(np.array([[256]]))
    with pytest.raises(ValueError, match="integer"):
        rasters.encode_labels(np.ones((2, 2)))
    with pytest.raises(ValueError, match="bool"):
        rasters.encode_mask(np.ones((2, 2)))
    mask = rasters.encode_mask(np.ones((2, 2), bool))
    with pytest.raises(BadInput, match="mode"):
        rasters.decode_labels(mask)
    with pytest.raises(BadInput, match="damaged"):
        rasters.decode_mask(mask[:40])
