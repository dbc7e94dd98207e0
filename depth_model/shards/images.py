"""Encoded images to upright 8-bit RGB, and the bytes of an image that go into a shard.

Reads the formats of `decoding.PICTURES`, whole JPEGs through simplejpeg: the same pixels in half the time. EXIF
orientation is applied, the first frame of an animation is taken, 16-bit gray is scaled to 8 bits, transparent pixels
are laid over white. Color profiles are not applied. What is seldom is decoded apart, so that a fault in its library
costs one file; JPEG, PNG and WebP come by the million and are decoded here.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from depth_model.errors import BadInput
from depth_model.shards import decoding
from depth_model.shards.apart import apart
from depth_model.shards.fingerprints import stored_fingerprint

_ORIENTATION = 0x0112
_SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif"}
_JPEG = ("JPEG", "MPO")
_LOSSY = (*_JPEG, "WEBP", "JPEG2000", "AVIF", "HEIF")

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by EXIF orientation; 1 is upright."""

_SELDOM = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51", b"GIF8")
"""How TIFF, JPEG 2000 and GIF begin; AVIF and HEIF have `ftyp` at byte 4."""


_OF_SIXTEEN_BITS = ((np.arange(2**16) + 128) // 257).astype(np.uint8)
"""Of a gray value of 16 bits, that of 8."""


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


def _seldom(data: bytes) -> bool:
    return data.startswith(_SELDOM) or data[4:8] == b"ftyp"


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # An image with unreadable EXIF data is shown as stored by every viewer, and so here.
        return None


def _eight_bit_gray(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.dtype != np.uint16 and (values.min() < 0 or values.max() > 65535):
        raise BadInput(f"gray values {values.min()} to {values.max()} are not those of a 16-bit image")
    return Image.fromarray(_OF_SIXTEEN_BITS[values])


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an opened `image` of any mode as an upright 8-bit RGB image, as `decode_rgb` does with encoded ones.

    Raises BadInput for a floating-point image.
    """
    turn = _turn(image)
    if turn is not None:  # the pixels alone: EXIF data that can be read cannot always be written again
        image = image.transpose(turn)
    if image.mode == "F":
        raise BadInput("a floating-point image has no defined white: convert it to 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _eight_bit_gray(image).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def decode_rgb(data: bytes) -> np.ndarray:
    """Return the encoded image `data` as uint8 (H, W, 3), upright.

    Raises BadInput for empty, truncated, damaged, floating-point and non-image data and for images that decode to more
    than the budget of `decoding`.
    """
    if not _seldom(data):
        head = decoding.opened(data, channels=3)
        if head.format in _JPEG and head.mode in ("RGB", "L") and _turn(head) is None:
            # It refuses the least irregularity; which of them are damage is for Pillow to say.
            with suppress(ValueError):
                return simplejpeg.decode_jpeg(data, "RGB")
    return np.array(_upright(data)[0])


def _upright(data: bytes) -> tuple[Image.Image, bool, str]:
    """Return the upright RGB image, whether EXIF data turned it, and its format."""
    if not _seldom(data):
        return _upright_here(data)
    pixels, turned, found = _upright_apart(data)
    return Image.fromarray(pixels), turned, found


def _upright_here(data: bytes) -> tuple[Image.Image, bool, str]:
    image = decoding.opened(data, channels=3)
    turned = _turn(image) is not None  # asked first: Pillow turns a TIFF itself as it loads it
    with decoding.faults("damaged image"):
        return upright_rgb(decoding.loaded(image)), turned, image.format


@apart()
def _upright_apart(data: bytes) -> tuple[np.ndarray, bool, str]:
    image, turned, found = _upright_here(data)
    return np.asarray(image), turned, found


def stored_shape(data: bytes) -> tuple[int, int]:
    """Return (H, W) of the encoded image `data` as stored, before any turn that EXIF data ask for.

    Only its head is read. Raises BadInput when it is damaged or no image.
    """
    head = decoding.opened(data)
    return head.height, head.width


def digest(data: bytes) -> int:
    """Return the 64-bit digest of encoded bytes that the manifest records."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def stored_image(data: bytes, max_side: int) -> StoredImage:
    """Return what a shard keeps of the encoded image `data`; raises BadInput as `decode_rgb` does.

    The bytes stay as found, unless EXIF data turn the image, its longer side exceeds `max_side` pixels, or its
    format is not one of JPEG, PNG, WebP, BMP and TIFF. Then they are encoded again: JPEG of quality 95 when
    the input was JPEG or of another lossy format, else PNG.
    """
    image, rotated, found = _upright(data)
    width, height = image.size
    fingerprint = stored_fingerprint(np.asarray(image))
    if not rotated and max(width, height) <= max_side and found in _SUFFIXES:
        encoded, suffix = data, _SUFFIXES[found]
        return StoredImage(encoded, suffix, height, width, fingerprint, digest(encoded), height, width, rotated)
    scale = min(1.0, max_side / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
    encoded, suffix = _encoded(resized, lossy=found in _LOSSY)
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
