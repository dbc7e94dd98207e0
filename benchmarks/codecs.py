"""Codecs for pseudo labels: bytes a pixel, milliseconds a label to write and to read, and the error, on true labels.

    python benchmarks/codecs.py --teacher models/teacher --photographs FOLDER
    python benchmarks/codecs.py --labels data/pseudo/NAME [NAME ...]

The maps are what a trained teacher gives at `--short-side` for photographs (those of FOLDER and of scikit-image), or
the pseudo labels of a pipeline. Each is quantised as the project does it (code 0 = no label, then linear from minimum
to maximum) with 12, 14 and 16 bits; every codec must give the codes back exactly. Codecs take turns, round by round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import imagecodecs
import measuring
import numpy as np
import skimage.data

from depth_model.shards import rasters
from depth_model.shards.images import decode_rgb
from depth_model.shards.source import SidecarFolder

BITS = (12, 14, 16)
PICTURES = ("astronaut", "chelsea", "coffee", "rocket", "cat", "hubble_deep_field")


class Codec(NamedTuple):
    """`encode`: uint16 (H, W) to bytes; `decode`: bytes and (H, W) back to the same uint16 (H, W)."""

    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes, tuple[int, int]], np.ndarray]


def _png(level: int) -> Codec:
    options = [cv2.IMWRITE_PNG_COMPRESSION, level]
    return Codec(
        lambda codes: cv2.imencode(".png", codes, options)[1].tobytes(),
        lambda data, shape: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED),
    )


def _image(name: str, **options: object) -> Codec:
    encode, decode = (getattr(imagecodecs, f"{name}_{what}") for what in ("encode", "decode"))
    return Codec(partial(encode, **options), lambda data, shape: decode(data).reshape(shape))


def _raw(name: str, back: dict[str, object] | None = None, **options: object) -> Codec:
    """Return a codec of imagecodecs for plain bytes."""
    encode, decode = (getattr(imagecodecs, f"{name}_{what}") for what in ("encode", "decode"))
    return Codec(
        lambda codes: bytes(encode(codes, **options)),
        lambda data, shape: np.frombuffer(decode(data, **(back or {})), np.uint16).reshape(shape),
    )


def _ours(bits: int, order: int) -> Codec:
    def decode(data: bytes, shape: tuple[int, int]) -> np.ndarray:
        return rasters._codes(data, {"height": shape[0], "width": shape[1], "bits": bits, "order": order})

    return Codec(partial(rasters._packed, order=order), decode)


def _pcodec(level: int) -> Codec:
    """Return pcodec on what each row differs from the one above; it takes the differences along rows itself."""

    def encode(codes: np.ndarray) -> bytes:
        differences = codes.copy()
        differences[1:] -= codes[:-1]
        return imagecodecs.pcodec_encode(differences, level=level)

    def decode(data: bytes, shape: tuple[int, int]) -> np.ndarray:
        codes = imagecodecs.pcodec_decode(data, shape=shape, dtype=np.uint16)
        for above, row in pairwise(list(codes)):
            np.add(above, row, out=row)
        return codes

    return Codec(encode, decode)


def codecs(bits: int) -> dict[str, Codec]:
    """Return what is compared for codes of `bits` bits, by name."""
    second = {"2-D delta twice, byte planes, zstd 1": _ours(bits, 2)} if bits <= 14 else {}
    return {
        "PNG16 level 1": _png(1),
        "PNG16 level 6": _png(6),
        "HTJ2K": _image("htj2k", reversible=True),
        "JPEG 2000": _image("jpeg2k", level=0, reversible=True),
        "JPEG-LS": _image("jpegls"),
        "JPEG-XL effort 1": _image("jpegxl", lossless=True, effort=1, numthreads=1),
        "JPEG-XL effort 3": _image("jpegxl", lossless=True, effort=3, numthreads=1),
        "2-D delta, byte planes, zstd 1": _ours(bits, 1),
        **second,
        "delta, pcodec 4": _pcodec(4),
        "delta, pcodec 8": _pcodec(8),
        "blosc2 zstd 5 bitshuffle": _raw("blosc2", level=5, compressor="zstd", shuffle="bitshuffle", typesize=2),
        "LERC, no loss": _image("lerc", level=0),
        "zstd 3": _raw("zstd", level=3),
        "npy uint16": Codec(np.ndarray.tobytes, lambda data, shape: np.frombuffer(data, np.uint16).reshape(shape)),
    }


def photographs(folder: Path | None, count: int) -> list[np.ndarray]:
    """Return `count` of the photographs of scikit-image and of `folder`, evenly spread, uint8 (H, W, 3)."""
    paths = sorted(folder.iterdir()) if folder else []
    whole = [getattr(skimage.data, name) for name in PICTURES] + [lambda path=path: _picture(path) for path in paths]
    return [whole[place]() for place in np.linspace(0, len(whole) - 1, min(count, len(whole))).round().astype(int)]


def _picture(path: Path) -> np.ndarray:
    return decode_rgb(path.read_bytes())


def teacher_maps(teacher: Path, short_side: int, pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Return the disparity, float32 (h, w), of every picture at the network's resolution."""
    from depth_model.networks import DepthAnything
    from depth_model.prediction.predictor import DepthPredictor

    predictor = DepthPredictor(DepthAnything.load(teacher), short_side)
    return [next(iter(predictor.network_disparity([picture]))) for picture in pictures]


def stored_maps(folders: list[Path]) -> list[np.ndarray]:
    """Return the pseudo labels, float32 (h, w), of the sources `folders`."""
    labels = [SidecarFolder(folder) for folder in folders]
    return [one.raster(row) for one in labels for row in range(len(one))]


def quantised(disparity: np.ndarray, bits: int) -> tuple[np.ndarray, float]:
    """Return the codes, uint16 (h, w), and the largest error as a share of the range of `disparity`."""
    encoded = rasters.encode_quantised(disparity, bits)
    error = np.abs(rasters.decode(encoded) - disparity).max()
    return rasters.decode_codes(encoded), float(error / np.ptp(disparity))


def compared(maps: list[np.ndarray], bits: int, rounds: int) -> list[list[object]]:
    """Return the rows of the table for one depth of quantisation; raises AssertionError when a codec loses."""
    codes, errors = zip(*(quantised(one, bits) for one in maps), strict=True)
    error, pixels = max(errors), sum(one.size for one in codes)
    chosen = codecs(bits)
    stored = {name: [codec.encode(one) for one in codes] for name, codec in chosen.items()}

    def read(name: str) -> list[np.ndarray]:
        return [chosen[name].decode(data, one.shape) for data, one in zip(stored[name], codes, strict=True)]

    for name in stored:
        for one, other in zip(codes, read(name), strict=True):
            np.testing.assert_array_equal(one, other, name)
    writing = {name: lambda codec=codec: [codec.encode(one) for one in codes] for name, codec in chosen.items()}
    reading = {name: partial(read, name) for name in stored}
    times = [measuring.interleaved(one, "PNG16 level 1", rounds, "cpu") for one in (writing, reading)]
    return [
        [name, bits, f"{sum(map(len, stored[name])) / pixels:.3f}"]
        + [f"{1000 * time[name].seconds / len(codes):.2f}" for time in times]
        + [f"{error:.1e}"]
        for name in stored
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--teacher", type=Path, help="folder of a trained model")
    source.add_argument("--labels", type=Path, nargs="+", help="folders of pseudo labels")
    parser.add_argument("--photographs", type=Path, help="folder of further pictures for --teacher")
    parser.add_argument("--images", type=int, default=24, help="how many photographs")
    parser.add_argument("--short-side", type=int, default=518)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    measuring.prepare(1, True)
    cv2.setNumThreads(1)
    if given.labels:
        maps = stored_maps(given.labels)
    else:
        maps = teacher_maps(given.teacher, given.short_side, photographs(given.photographs, given.images))
    print(f"{len(maps)} maps, {sum(one.size for one in maps) / len(maps):.0f} pixels each on average")
    rows = [row for bits in BITS for row in compared(maps, bits, given.rounds)]
    print(measuring.table(["codec", "bits", "bytes/pixel", "ms to write", "ms to read", "largest error"], rows))


if __name__ == "__main__":
    main()
