"""Encoded images to upright 8-bit RGB, and the bytes of an image that go into a shard.

Reads whatever Pillow reads, whole JPEGs through simplejpeg: the same pixels in half the time. EXIF orientation is
applied, the first frame of an animation is taken, 16-bit grey is scaled to 8 bits, transparent pixels are laid over
white. Colour profiles are not applied.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from depth_model.errors import BadInput
from depth_model.shards.fingerprints import stored_fingerprint

_ORIENTATION = 0x0112
_SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif"}
_JPEG = ("JPEG", "MPO")
_LOSSY = (*_JPEG, "WEBP")

# Pillow's parsers raise any of these on a damaged file, depending on the format and the damage.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, LookupError, TypeError, OverflowError)


class StoredImage(NamedTuple):
    """An image as it lies in a shard: encoded bytes, member suffix, size in pixels, 32 bytes of fingerprints
    (`fingerprints.stored_fingerprint`) and a 64-bit digest of the encoded bytes.

    `found_height` and `found_width` are the upright size before any scaling; `rotated` says that an EXIF
    orientation was applied.
    """

    data: bytes
    suffix: str
    height: int
    width: int
    fingerprint: bytes
    digest: int
    found_height: int
    found_width: int
    rotated: bool


def _opened(data: bytes, pixels: bool = True) -> Image.Image:
    """Return the image `data` with its `pixels`, or with what its head says only."""
    if not data:
        raise BadInput("empty file (0 bytes)")
    try:
        image = Image.open(io.BytesIO(data))
        if pixels:
            image.load()
    except Image.DecompressionBombError as error:
        raise BadInput(f"decompression bomb: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise BadInput("not an image in a known format") from error
    except _DAMAGED as error:
        raise BadInput(f"damaged image: {error}") from error
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except _DAMAGED:
        # An image with unreadable EXIF data is shown as stored by every viewer, and so here.
        return 1


def _turned(image: Image.Image) -> bool:
    return 2 <= _orientation(image) <= 8


def _eight_bit_grey(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise BadInput(f"grey values {values.min()} to {values.max()} are not those of a 16-bit image")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an opened `image` of any mode as an upright 8-bit RGB image, as `decode_rgb` does with encoded ones.

    Raises BadInput for a floating-point image.
    """
    if _turned(image):
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise BadInput("a floating-point image has no defined white: convert it to 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _eight_bit_grey(image).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def decode_rgb(data: bytes) -> np.ndarray:
    """Return the encoded image `data` as uint8 (H, W, 3), upright.

    Raises BadInput for empty, truncated, damaged, floating-point and non-image data and for images of more
    than twice Pillow's MAX_IMAGE_PIXELS (179 million) pixels.
    """
    head = _opened(data, pixels=False)
    if head.format in _JPEG and head.mode in ("RGB", "L") and not _turned(head):
        # It refuses the least irregularity; which of them are damage is for Pillow to say.
        with suppress(ValueError):
            return simplejpeg.decode_jpeg(data, "RGB")
    return np.array(upright_rgb(_opened(data)))


def stored_shape(data: bytes) -> tuple[int, int]:
    """Return (H, W) of the encoded image `data` as stored, before any turn that EXIF data ask for.

    Only its head is read. Raises BadInput when it is damaged or no image.
    """
    try:
        width, height = Image.open(io.BytesIO(data)).size
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise BadInput(f"damaged image: {error}") from error
    return height, width


def digest(data: bytes) -> int:
    """Return the 64-bit digest of encoded bytes that the manifest records."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def stored_image(data: bytes, max_side: int) -> StoredImage:
    """Return what a shard keeps of the encoded image `data`; raises BadInput as `decode_rgb` does.

    The bytes stay as found, unless EXIF data turn the image, its longer side exceeds `max_side` pixels, or its
    format is not one of JPEG, PNG, WebP, BMP and TIFF. Then they are encoded again: JPEG of quality 95 when
    the input was JPEG or WebP, else PNG.
    """
    opened = _opened(data)
    rotated = _turned(opened)
    image = upright_rgb(opened)
    width, height = image.size
    fingerprint = stored_fingerprint(np.asarray(image))
    if not rotated and max(width, height) <= max_side and opened.format in _SUFFIXES:
        encoded, suffix = data, _SUFFIXES[opened.format]
        return StoredImage(encoded, suffix, height, width, fingerprint, digest(encoded), height, width, rotated)
    scale = min(1.0, max_side / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
    encoded, suffix = _encoded(resized, lossy=opened.format in _LOSSY)
    return StoredImage(encoded, suffix, size[1], size[0], fingerprint, digest(encoded), height, width, rotated)


def encode_jpeg(image: np.ndarray) -> bytes:
    """Return a uint8 (H, W, 3) image as JPEG of quality 95: the same bytes for the same image."""
    return _encoded(Image.fromarray(image), lossy=True)[0]


def _encoded(image: Image.Image, lossy: bool) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    if lossy:
        image.save(buffer, "JPEG", quality=95)
        return buffer.getvalue(), "jpg"
    image.save(buffer, "PNG")
    return buffer.getvalue(), "png"
