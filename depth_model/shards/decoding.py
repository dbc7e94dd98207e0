"""The one door for foreign bytes: which formats are opened as images, and how much a file may decode to.

Pillow tells a format by its content, whatever the name says, and for some of them starts other programs (EPS starts
Ghostscript); so every image of the project is opened here, from a list of formats. One budget bounds what any decoder
makes of one file, in bytes after decoding, and is checked against the head of the file before anything is allocated. It
takes the place of Pillow's own limit, which refuses what phones of 200 megapixels write.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageMode

from depth_model.errors import BadInput

DEFAULT_BUDGET = 10**9
"""Bytes; an image of 333 megapixels, or 250 million numbers of 32 bits."""

PICTURES = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "JPEG2000", "AVIF", "HEIF", "PPM")
"""Pillow's names of the formats that are read; a JPEG of several pictures opens as MPO."""

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}

_POINTER = re.compile(rb"version https://git-lfs\.github\.com|/annex/objects/|(?:\.\./)*\.git/annex/")

# Pillow tells of damage in metadata that is not used.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_budget = DEFAULT_BUDGET


def bytes_of(size: int | str) -> int:
    """Return `size`, a number of bytes or a text like `500 MB` (B, kB, MB, GB), in bytes; ValueError for another."""
    if isinstance(size, int):
        return size
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB)", str(size))
    if found is None:
        raise ValueError(f"{size!r} is no size: write a number with a unit of {', '.join(_UNITS)}, like 1 GB")
    return round(float(found[1]) * _UNITS[found[2]])


def budget() -> int:
    """Return how many bytes one file may decode to now."""
    return _budget


@contextmanager
def limited_to(size: int) -> Iterator[None]:
    """Let every decoder of this process make `size` bytes of one file at most, until the context is left."""
    global _budget
    before, _budget = _budget, size
    try:
        yield
    finally:
        _budget = before


def check(size: int, what: str) -> None:
    """Raise BadInput unless `what`, of a file that decodes to `size` bytes, is something and fits the budget."""
    if size <= 0:
        raise BadInput(f"{what}: there is nothing to read")
    if size > _budget:
        raise BadInput(f"{what} are too large: {size} bytes decoded, collect.decode_budget is {_budget}")


@contextmanager
def faults(what: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into BadInput: `what` is wrong, and the reason.

    Any exception: which ones a parser raises depends on the format and the damage, and no list of them was complete.
    """
    try:
        yield
    except BadInput:
        raise
    except MemoryError as error:
        raise BadInput(f"{what}: needs more memory than collect.decode_budget ({_budget} bytes) allows") from error
    except Exception as error:
        raise BadInput(f"{what}: {error or type(error).__name__}") from error


def opened(data: bytes, formats: Sequence[str] = PICTURES, channels: int = 1) -> Image.Image:
    """Return the encoded image `data` of one of `formats`, its head read and its pixels not.

    Raises BadInput for another format, a damaged head, and pixels beyond the budget, which count `channels` bytes each
    at least.
    """
    if not data:
        raise BadInput("empty file (0 bytes)")
    with faults("damaged image"):
        image = _by_content(data, formats)
        bands = ImageMode.getmode(image.mode)
        size = max(channels, len(bands.bands) * np.dtype(bands.typestr).itemsize)
        check(image.width * image.height * size, f"{image.width} x {image.height} pixels")
        _check_tiles(image)
    return image


def loaded(image: Image.Image) -> Image.Image:
    """Return the opened `image` with its pixels; raises BadInput when they are damaged."""
    with faults("damaged image"):
        image.load()
    return image


def _by_content(data: bytes, formats: Sequence[str]) -> Image.Image:
    """Do what Image.open does, without its limit of pixels, which is one for the whole process."""
    if "HEIF" in formats and data[4:8] == b"ftyp":
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    fault: Exception | None = None
    for name in formats:
        factory, accepts = Image.OPEN[name] if name in Image.OPEN else (None, None)
        if factory is None or (accepts is not None and accepts(data[:16]) is not True):
            continue
        try:
            return factory(io.BytesIO(data), "")
        except (SyntaxError, LookupError, TypeError, ValueError, OSError) as error:  # it may still be another format
            fault = error
    if fault is not None:
        raise BadInput(f"damaged image: {fault}") from fault
    if _POINTER.match(data):
        raise BadInput("a pointer to content that is not here: fetch it (git lfs pull, git annex get)")
    raise BadInput(f"not an image in a known format ({', '.join(formats)})")


def _check_tiles(image: Image.Image) -> None:
    # A TIFF of a few pixels may announce tiles of gigabytes, each of which is decoded as a whole.
    tags = getattr(image, "tag_v2", {})
    width, height = (tags.get(side, 1) for side in (322, 323))
    check(width * height, f"tiles of {width} x {height} pixels")
