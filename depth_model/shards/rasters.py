"""Depth, disparity and label rasters to bytes and back; the one owner of the codecs in the shards.

A float raster is a JSON header and zstandard-compressed differences of integer codes; docs/dar.md specifies every byte.
Three codecs:

- `integer`    lossless: (code + offset) / scale. Chosen whenever it gives back every value bit by bit, as it does for
               depth read from 16-bit PNGs.
- `float32`    lossless: the bit pattern of each value.
- `quantised`  codes linear from minimum to maximum. For pseudo labels.

Class labels and masks are PNG files. docs/codecs.md says what is stored by which codec.
"""

from __future__ import annotations

import io
import json
import math
import struct
from typing import Any

import cv2
import numpy as np
import zstandard
from PIL import Image

from depth_model.errors import BadInput
from depth_model.files import parsed_json
from depth_model.shards import decoding

SUFFIX = "dar"
CODECS = ("integer", "float32", "quantised")
MAGIC = b"DAR1"
MAX_SIDE = 65535

_SCALES = (1, 100, 256, 1000, 5000, 10000)
_LEVEL = 1
_EXACT_BITS = 14
"""Differences of codes of so many bits fit 16, and all sums of them, even of second ones, are exact in float32."""
_LONGEST_HEADER = 4096


def encode_exact(values: np.ndarray) -> bytes:
    """Encode float32 (H, W), NaN = no label, so that `decode` gives back every bit of every label.

    Raises ValueError for another shape or type and BadInput for infinite values.
    """
    labeled = _labeled(values)
    known = values[labeled]
    limits = _limits(known)
    for scale in _SCALES:
        offset = _offset(known, scale)
        if offset is not None:
            codes = np.zeros(values.shape, np.uint16)
            codes[labeled] = np.rint(known.astype(np.float64) * scale) - offset
            return _file(codes, codec="integer", bits=16, scale=scale, offset=offset, **limits)
    patterns = np.where(labeled, values, np.float32(np.nan)).view(np.uint32)
    return _file(patterns, codec="float32", bits=32, scale=None, offset=None, **limits)


def encode_quantized(values: np.ndarray, bits: int) -> bytes:
    """Encode float32 (H, W), NaN = no label, with `bits` (2 to 16) bits a pixel; the error is at most half a step.

    Raises ValueError for another shape, type or number of bits and BadInput for infinite values.
    """
    if not 2 <= bits <= 16:
        raise ValueError(f"bits = {bits}: must be 2 to 16")
    labeled = _labeled(values)
    limits = _limits(values[labeled])
    codes = np.zeros(values.shape, np.uint16)
    if labeled.any():
        low, high = limits["minimum"], limits["maximum"]
        steps = (2**bits - 2) / (high - low) if high > low else 0.0
        codes[labeled] = 1 + np.rint((values[labeled].astype(np.float64) - low) * steps)
    fields = {"codec": "quantised", "bits": bits, "scale": None, "offset": None, "order": _order(codes, bits)}
    return _file(codes, **fields, **limits)


def header(data: bytes) -> dict[str, Any]:
    """Return the checked header of an encoded float raster.

    Keys: height, width, codec, bits, scale, offset, minimum, maximum (of the labels; None without any), and order of
    quantized ones.
    Raises BadInput when `data` is not such a raster.
    """
    return _parsed(data)[0]


def decode(data: bytes) -> np.ndarray:
    """Return the raster `data` as float32 (H, W), NaN = no label; raises BadInput for damaged data."""
    head, payload = _parsed(data)
    if head["codec"] == "float32":
        word = np.dtype(np.uint32)
        differences = _differences(payload, (head["height"], head["width"]), word)
        return differences.cumsum(axis=0, dtype=word).cumsum(axis=1, dtype=word).view(np.float32)
    codes = _codes(payload, head)
    if head["codec"] == "quantised":
        return _dequantized(codes, head)
    values = _from_integer(codes, head["offset"], head["scale"])
    values[codes == 0] = np.nan
    return values


def decode_codes(data: bytes) -> np.ndarray:
    """Return the codes of a quantized raster, uint16 (H, W): affine in what was encoded, 0 = no label.

    What is scaled afterwards anyway needs no more. Raises BadInput for damaged data and for another codec.
    """
    head, payload = _parsed(data)
    if head["codec"] != "quantised":
        raise BadInput(f"a raster of codec {head['codec']!r}, not of quantized labels")
    return _codes(payload, head)


def encode_labels(labels: np.ndarray) -> bytes:
    """Encode class labels, an integer array (H, W) of values 0 to 255 (255 = ignore), as a gray PNG.

    Raises ValueError for another shape or type and BadInput for values out of range.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise ValueError(f"labels must be an integer (H, W) array, not {labels.dtype} {labels.shape}")
    if labels.size and (labels.min() < 0 or labels.max() > 255):
        raise BadInput(f"class labels {labels.min()} to {labels.max()} are outside 0 to 255")
    return _png(Image.fromarray(labels.astype(np.uint8)))


def encode_mask(mask: np.ndarray) -> bytes:
    """Encode a bool (H, W) mask as a PNG of one bit a pixel; raises ValueError for another shape or type."""
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"a mask must be a bool (H, W) array, not {mask.dtype} {mask.shape}")
    return _png(Image.fromarray(mask))


def decode_labels(data: bytes) -> np.ndarray:
    """Return a PNG of `encode_labels` as uint8 (H, W); raises BadInput for damaged data or another mode."""
    return _gray(data, "L")


def decode_mask(data: bytes) -> np.ndarray:
    """Return a PNG of `encode_mask` as bool (H, W); raises BadInput for damaged data or another mode."""
    return _gray(data, "1")


def _labeled(values: np.ndarray) -> np.ndarray:
    if values.dtype != np.float32 or values.ndim != 2 or not values.size:
        raise ValueError(f"a raster must be a float32 (H, W) array, not {values.dtype} {values.shape}")
    if max(values.shape) > MAX_SIDE:
        raise ValueError(f"a raster side may have {MAX_SIDE} pixels at most, not {max(values.shape)}")
    if np.isinf(values).any():
        raise BadInput("infinite values: no label is NaN")
    return ~np.isnan(values)


def _limits(known: np.ndarray) -> dict[str, float | None]:
    if not known.size:
        return {"minimum": None, "maximum": None}
    return {"minimum": float(known.min()), "maximum": float(known.max())}


def _from_integer(codes: np.ndarray, offset: int, scale: int) -> np.ndarray:
    return (codes.astype(np.float32) + np.float32(offset)) / np.float32(scale)


def _offset(known: np.ndarray, scale: int) -> int | None:
    """Return the offset with which integers over `scale` give back `known` bit by bit, else None."""
    for part in (known[:: 1 + known.size // 512], known):  # a few values refuse most scales at once
        integers = np.rint(part.astype(np.float64) * scale)
        low, high = (integers.min(), integers.max()) if integers.size else (1, 1)
        if high - low >= 65535 or max(abs(low), abs(high)) >= 2**24:
            return None
        restored = _from_integer(integers - (low - 1), int(low) - 1, scale)
        if not np.array_equal(restored.view(np.uint32), part.view(np.uint32)):
            return None
    return int(low) - 1


def _codes(payload: bytes, head: dict[str, Any]) -> np.ndarray:
    differences = _differences(payload, (head["height"], head["width"]), np.dtype(np.uint16)).view(np.int16)
    # OpenCV's integral takes the sums of both directions at one go, in floating point.
    if head["bits"] <= _EXACT_BITS:
        codes = differences.astype(np.float32)
        for _ in range(head.get("order", 1)):
            codes = cv2.integral(codes, sdepth=cv2.CV_32F)[1:, 1:]
    else:  # differences are modulo 2^16, and so are their sums
        codes = cv2.integral(differences, sdepth=cv2.CV_64F)[1:, 1:].astype(np.int64).astype(np.uint16)
    if codes.min() < 0 or codes.max() >= 2 ** head["bits"]:
        raise BadInput(f"damaged raster: codes {codes.min()} to {codes.max()} do not fit {head['bits']} bits")
    return codes.astype(np.uint16, copy=False)


def _dequantized(codes: np.ndarray, head: dict[str, Any]) -> np.ndarray:
    table = np.full(2 ** head["bits"], np.nan, np.float32)
    if head["minimum"] is not None:
        table[1:] = np.linspace(head["minimum"], head["maximum"], 2 ** head["bits"] - 1)
    return np.take(table, codes)


def _order(codes: np.ndarray, bits: int) -> int:
    """Return how often to take differences of `codes`: 2 where that makes them smaller, as on a network's smooth maps.

    A network enlarges its map at the end, bilinearly: within a patch the first differences hardly change.
    """
    if bits > _EXACT_BITS:
        return 1
    once = _differenced(codes.astype(np.int32))
    twice = _differenced(once)
    fits = max(-int(twice.min()), int(twice.max())) < 2**15
    return 2 if fits and np.abs(twice).sum() < np.abs(once).sum() else 1


def _differenced(codes: np.ndarray) -> np.ndarray:
    """Return what `codes`, integers (H, W), differ from left + above - above left, 0 outside; modulo the word size."""
    across = codes.copy()
    across[:, 1:] -= codes[:, :-1]
    differences = across.copy()
    differences[1:] -= across[:-1]
    return differences


def _packed(codes: np.ndarray, order: int = 1) -> bytes:
    delta = codes
    for _ in range(order):
        delta = _differenced(delta)
    zigzag = (delta << 1) ^ np.negative(delta >> (8 * codes.itemsize - 1))
    planes = [(zigzag >> (8 * plane)).astype(np.uint8).tobytes() for plane in range(codes.itemsize)]
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)
    return compressor.compress(b"".join(planes))


def _differences(payload: bytes, shape: tuple[int, int], word: np.dtype) -> np.ndarray:
    """Return what each code differs from its prediction, unsigned (H, W), modulo the word size."""
    expected = shape[0] * shape[1] * word.itemsize
    decoding.check(expected, f"{shape[0]} x {shape[1]} codes")
    try:
        # The size in the frame is checked first, so that damaged data cannot ask for any amount of memory.
        size = zstandard.frame_content_size(payload)
        if size != expected:
            raise BadInput(f"damaged raster: payload of {size} bytes, {shape[0]} x {shape[1]} pixels need {expected}")
        planes = zstandard.ZstdDecompressor().decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BadInput(f"damaged raster: {error}") from error
    zigzag = cv2.merge(list(np.frombuffer(planes, np.uint8).reshape(word.itemsize, *shape))).view(word)[..., 0]
    sign = np.negative(zigzag & 1)
    zigzag >>= 1
    zigzag ^= sign
    return zigzag


def _file(codes: np.ndarray, **fields: Any) -> bytes:
    head = {"height": codes.shape[0], "width": codes.shape[1], **fields}
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode("ascii")
    return MAGIC + struct.pack("<I", len(text)) + text + _packed(codes, fields.get("order", 1))


def _parsed(data: bytes) -> tuple[dict[str, Any], bytes]:
    if data[:4] != MAGIC or len(data) < 8:
        raise BadInput("not a raster of this project (wrong first bytes)")
    length = struct.unpack("<I", data[4:8])[0]
    if length > _LONGEST_HEADER or len(data) < 8 + length:
        raise BadInput("damaged raster: header cut off")
    try:
        head = parsed_json(data[8 : 8 + length])
    except ValueError as error:
        raise BadInput("damaged raster: header is not JSON") from error
    if not _plausible(head):
        raise BadInput(f"damaged raster: header {str(head)[:200]}")
    return head, data[8 + length :]


def _plausible(head: Any) -> bool:
    if not isinstance(head, dict) or head.get("codec") not in CODECS:
        return False
    sides = (head.get("height"), head.get("width"))
    limits = (head.get("minimum"), head.get("maximum"))
    return (
        all(type(side) is int and 0 < side <= MAX_SIDE for side in sides)
        and (limits == (None, None) or all(type(limit) is float and math.isfinite(limit) for limit in limits))
        and type(head.get("bits")) is int
        and 2 <= head["bits"] <= (32 if head["codec"] == "float32" else 16)
        and type(order := head.get("order", 1)) is int
        and (order == 1 or (order == 2 and head["bits"] <= _EXACT_BITS))
        and (head["codec"] != "integer" or (type(head.get("offset")) is int and head.get("scale") in _SCALES))
    )


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _gray(data: bytes, mode: str) -> np.ndarray:
    image = decoding.loaded(decoding.opened(data, ["PNG"]))
    if image.mode != mode:
        raise BadInput(f"label image of mode {image.mode!r}, expected {mode!r}")
    return np.asarray(image)
