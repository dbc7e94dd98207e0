"""Damaged files for every decoder of rasters, and a count of what became of them.

    python -m tests.depth_model.reading.hostile_files 100000      (cases in all)

Each case is a valid file that was cut, overwritten, or had bytes put in, drawn from its number. A decoder may give
values or raise BadInput; anything else is a fault and is printed with the number of its case. Cases run in child
processes with bounded memory, so that a crash inside a library is seen too, and costs only its own thousand.
"""

from __future__ import annotations

import io
import multiprocessing
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import h5py
import numpy as np
import OpenEXR
import pillow_heif
from PIL import Image
from scipy.io import savemat

from depth_model.errors import BadInput
from depth_model.reading import archives, formats, matlab, video
from depth_model.shards import images, rasters

Decoder = Callable[[bytes], object]
SHAPE = (24, 32)
AT_ONCE = 1000
MEMORY = 6 << 30


def _saved(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _hdf5(values: np.ndarray) -> bytes:
    def write(buffer: io.BytesIO) -> None:
        with h5py.File(buffer, "w") as file:
            file.create_dataset("depth", data=values, compression="gzip", chunks=(8, 8))

    return _saved(write)


def _exr(values: np.ndarray) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, {"Z": values}).write(file.name)
        return Path(file.name).read_bytes()


def _picture(colors: np.ndarray, kind: str) -> bytes:
    """Return a picture that EXIF data turn where its format can say so."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8769] = 6, "maker", {0x9003: "2024:01:01 00:00:00"}
    told = {"exif": exif} if kind in ("JPEG", "AVIF", "HEIF") else {}
    pillow_heif.register_heif_opener()
    return _saved(lambda buffer: Image.fromarray(colors).save(buffer, kind, **told))


def _video(colors: np.ndarray, suffix: str, code: str) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        writer = cv2.VideoWriter(file.name, cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*code), 5, (64, 48))
        for number in range(6):
            writer.write(cv2.resize(np.roll(colors, number, 1), (64, 48)))
        writer.release()
        return Path(file.name).read_bytes()


def _frames(suffix: str) -> Decoder:
    def decode(data: bytes) -> list[object]:
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            file.write(data)
            file.flush()
            listed = list(islice(archives.members(Path(file.name)), 1000))
            assert listed, "a video with neither frames nor a reason"
            return [listed, *video.frames(Path(file.name))]

    return decode


def subjects() -> dict[str, tuple[Decoder, bytes]]:
    """Return name -> (decoder, a valid file)."""
    generator = np.random.default_rng(0)
    depth = generator.uniform(1, 9, SHAPE).astype(np.float32)
    depth[0] = np.nan
    whole = np.nan_to_num(depth * 1000).astype(np.uint16)
    colors = generator.integers(0, 256, (*SHAPE, 3), np.uint8)
    header = f"Pf\n{SHAPE[1]} {SHAPE[0]}\n-1.0\n".encode()
    return {
        "dar integer": (rasters.decode, rasters.encode_exact(np.where(depth > 0, whole / np.float32(1000), np.nan))),
        "dar float32": (rasters.decode, rasters.encode_exact(depth)),
        "dar quantized": (rasters.decode, rasters.encode_quantized(depth, 14)),
        "labels": (rasters.decode_labels, rasters.encode_labels(colors[..., 0])),
        "mask": (rasters.decode_mask, rasters.encode_mask(colors[..., 0] > 99)),
        "png": (images.decode_rgb, cv2.imencode(".png", colors)[1].tobytes()),
        "jpeg": (images.decode_rgb, cv2.imencode(".jpg", colors)[1].tobytes()),
        "webp": (images.decode_rgb, _saved(lambda buffer: Image.fromarray(colors).save(buffer, "WEBP"))),
        "tiff": (images.decode_rgb, _saved(lambda buffer: Image.fromarray(colors).save(buffer, "TIFF"))),
        "exif": (lambda data: images.stored_image(data, 64), _picture(colors, "JPEG")),
        "gif": (images.decode_rgb, _picture(colors, "GIF")),
        "jpeg 2000": (images.decode_rgb, _picture(colors, "JPEG2000")),
        "avif": (images.decode_rgb, _picture(colors, "AVIF")),
        "heif": (images.decode_rgb, _picture(colors, "HEIF")),
        "avi": (_frames(".avi"), _video(colors, ".avi", "MJPG")),
        "mp4": (_frames(".mp4"), _video(colors, ".mp4", "mp4v")),
        "exr": (formats.exr, _exr(depth)),
        "tiff of floats": (formats.picture, _saved(lambda buffer: Image.fromarray(depth).save(buffer, "TIFF"))),
        "bmp": (images.decode_rgb, _saved(lambda buffer: Image.fromarray(colors).save(buffer, "BMP"))),
        "png16": (formats.picture, cv2.imencode(".png", whole)[1].tobytes()),
        "pgm": (formats.picture, cv2.imencode(".pgm", whole)[1].tobytes()),
        "npy": (formats.npy, _saved(lambda buffer: np.save(buffer, depth))),
        "npz": (lambda data: formats.npz(data, "a"), _saved(lambda buffer: np.savez_compressed(buffer, a=depth))),
        "pfm": (formats.pfm, header + depth[::-1].tobytes()),
        "hdf5": (lambda data: formats.hdf5(data, "depth"), _hdf5(depth)),
        "mat": (lambda data: matlab.variable(data, "a"), _saved(lambda buffer: savemat(buffer, {"a": depth}))),
    }


def damaged(valid: bytes, generator: np.random.Generator) -> bytes:
    """Return `valid` cut short, with some bytes overwritten, or with bytes put in; now and then several of these."""
    data = bytearray(valid)
    for _ in range(int(generator.integers(1, 4))):
        place = int(generator.integers(len(data) + 1))
        kind = int(generator.integers(4))
        if kind == 0:
            del data[place:]
        elif kind == 1:
            for where in generator.integers(max(1, len(data)), size=int(generator.integers(1, 9))):
                data[where : where + 1] = bytes([int(generator.integers(256))])
        elif kind == 2:
            data[place:place] = generator.bytes(int(generator.integers(1, 17)))
        else:
            # Sizes and offsets stand at the head: large numbers there ask for memory.
            head = int(generator.integers(min(64, len(data)) + 1))
            data[head : head + 4] = b"\xff" * 4
    return bytes(data)


def outcome(decoder: Decoder, data: bytes) -> str:
    """Return "values", "refused", or what else was raised."""
    try:
        decoder(data)
    except BadInput:
        return "refused"
    except Exception as error:  # What is not BadInput is the fault that this file looks for.
        return f"{type(error).__name__}: {error}"
    return "values"


def run(name: str, first: int, count: int) -> Counter[str]:
    """Return the outcomes of `count` cases of a subject from number `first` on; anything unusual with its number."""
    decoder, valid = subjects()[name]
    found: Counter[str] = Counter()
    for number in range(first, first + count):
        result = outcome(decoder, damaged(valid, np.random.default_rng([number, len(name)])))
        found[result if result in ("values", "refused") else f"case {number}: {result}"] += 1
    return found


def _child(name: str, first: int, count: int, results: multiprocessing.Queue) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    results.put(run(name, first, count))


def _apart(name: str, first: int, count: int) -> Counter[str]:
    """Run cases in a process of their own; one that dies is an outcome."""
    results = multiprocessing.Queue()
    process = multiprocessing.Process(target=_child, args=(name, first, count, results))
    process.start()
    process.join()
    if process.exitcode:
        return Counter({f"cases {first} to {first + count - 1}: died with {process.exitcode}": 1})
    return results.get()


def main() -> None:
    """Run the number of cases that the command line names, in all, and print what became of them."""
    each = int(sys.argv[1]) // len(subjects())
    faults = 0
    for name in subjects():
        found: Counter[str] = Counter()
        for first in range(0, each, AT_ONCE):
            found += _apart(name, first, min(AT_ONCE, each - first))
        strange = {what: times for what, times in found.items() if what not in ("values", "refused")}
        faults += len(strange)
        counts = f"{found['values']} gave values, {found['refused']} were refused, {len(strange)} faults"
        print(f"{name}: {counts}", flush=True)
        for what in list(strange)[:5]:
            print(f"    {what}", flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
