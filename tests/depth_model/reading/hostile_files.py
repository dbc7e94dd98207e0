"""Damaged files for every decoder, and a count of what became of them.

    python -m tests.depth_model.reading.hostile_files 100000 --processes 2      (cases in all)

Each case is a valid file that was cut, overwritten, or had bytes put in, drawn from its number. A decoder may give
values or raise BadInput; anything else is a fault and is printed with the number of its case: another exception, a case
that takes longer than SECONDS, a program that was started, a class that was unpickled, a connection that was opened
(the last three end the process at once, in the decoders' own process too). Cases run in child processes whose memory is
bounded, so that a crash inside a library is seen too; the most memory that one took is told and must stay below MEMORY.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import cv2
import h5py
import lmdb
import numpy as np
import OpenEXR
import pillow_heif
from PIL import Image
from scipy.io import savemat

from depth_model.errors import BadInput
from depth_model.progress import progress_bar
from depth_model.reading import archives, formats, matlab, video
from depth_model.reading.archives.common import Member
from depth_model.shards import apart, decoding, images, rasters

Decoder = Callable[[bytes], object]
SHAPE = (24, 32)
AT_ONCE = 2000
"""Cases to one child process."""

BUDGET, MEMORY, SECONDS = 100 * 10**6, 10**9, 20.0
"""The decode budget of all cases, the bytes that a process with its libraries may take, and the time for one case."""

HOOK = """
import os, sys

def _watch(event, given):
    if event in ("os.system", "os.exec", "os.spawn", "pickle.find_class", "socket.connect") or (
        event in ("subprocess.Popen", "os.posix_spawn") and given[0] not in (sys.executable, "uname")  # platform asks
    ):
        os.write(2, f"{event} {given}\\n".encode())
        os._exit(113)

if "WATCHED" in os.environ:
    sys.addaudithook(_watch)
"""


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


@contextmanager
def _listed(data: bytes, suffix: str) -> Iterator[tuple[Path, list[Member]]]:
    """Give a file of `data`, and the first thousand members that it lists."""
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        path = Path(file.name)
        yield path, list(islice(archives.members(path), 1000))


def _frames(suffix: str) -> Decoder:
    def decode(data: bytes) -> list[object]:
        with _listed(data, suffix) as (path, listed):
            assert listed, "a video with neither frames nor a reason"
            return [listed, *video.frames(path)]

    return decode


def _members(suffix: str) -> Decoder:
    """Return what lists an archive and reads every member; the first one that is refused refuses the archive."""

    def decode(data: bytes) -> list[bytes]:
        with _listed(data, suffix) as (path, listed):
            read = [archives.read(path, one.place) for one in listed if not one.reason]
        if refused := [one.reason for one in listed if one.reason]:
            raise BadInput(refused[0])
        return read

    return decode


CONTENT = {f"folder/{number}.png": bytes([number]) * 3**number for number in range(7)}


def _tar(mode: str) -> bytes:
    def write(buffer: io.BytesIO) -> None:
        with tarfile.open(fileobj=buffer, mode=mode, format=tarfile.PAX_FORMAT) as archive:
            for name, data in CONTENT.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.pax_headers = len(data), {"comment": "of one"}
                archive.addfile(entry, io.BytesIO(data))

    return _saved(write)


def _zip() -> bytes:
    def write(buffer: io.BytesIO) -> None:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in CONTENT.items():
                archive.writestr(name, data)

    return _saved(write)


def _lmdb() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        with lmdb.open(folder, map_size=1 << 20) as database, database.begin(write=True) as transaction:
            for name, data in CONTENT.items():
                transaction.put(name.encode(), data)
        return (Path(folder) / "data.mdb").read_bytes()


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
        "tar": (_members(".tar"), _tar("w")),
        "tar.gz": (_members(".tar.gz"), _tar("w:gz")),
        "zip": (_members(".zip"), _zip()),
        "lmdb": (_members(".lmdb"), _lmdb()),
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
    with decoding.limited_to(BUDGET):
        for number in range(first, first + count):
            began = time.monotonic()
            result = outcome(decoder, damaged(valid, np.random.default_rng([number, len(name)])))
            if (took := time.monotonic() - began) > SECONDS:
                result = f"took {took:.0f} s"
            found[result if result in ("values", "refused") else f"case {number}: {result}"] += 1
    return found


def _peak() -> int:
    """Return the most bytes of memory that this process, or the one that decodes for it, ever held."""
    apart._of_process(os.getpid()).end()
    return 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _child(name: str, first: int, count: int) -> None:
    """Run cases and print their outcomes and the peak of memory: what a child process does."""
    resource.setrlimit(resource.RLIMIT_AS, (8 * MEMORY, 8 * MEMORY))
    found = run(name, first, count)
    print(json.dumps([found, _peak()]))


def _apart(name: str, first: int, count: int, hook: Path) -> tuple[Counter[str], int]:
    """Run cases in a process of their own; return outcomes and peak of memory. One that dies is the outcome of all."""
    command = [sys.executable, "-m", "tests.depth_model.reading.hostile_files", str(count), "--only", name, str(first)]
    watched = {"WATCHED": "yes", "PYTHONPATH": os.pathsep.join([str(hook), *filter(None, sys.path)])}
    try:
        done = subprocess.run(
            command, env=os.environ | watched, capture_output=True, text=True, timeout=60 + count, check=False
        )
    except subprocess.TimeoutExpired:
        return Counter({f"cases {first} to {first + count - 1}: hung": count}), 0
    if done.returncode:
        why = f"died with {done.returncode}: {done.stderr[-300:].strip()}"
        return Counter({f"cases {first} to {first + count - 1}: {why}": count}), 0
    found, peak = json.loads(done.stdout.splitlines()[-1])
    return Counter(found), peak


def _batches(cases: int) -> Iterator[tuple[str, int, int]]:
    """Yield (subject, first case, number of cases) that make `cases` in all, as many of every subject."""
    names = list(subjects())
    for place, name in enumerate(names):
        each = cases // len(names) + (place < cases % len(names))
        for first in range(0, each, AT_ONCE):
            yield name, first, min(AT_ONCE, each - first)


def fuzz(cases: int, processes: int) -> tuple[dict[str, Counter[str]], int]:
    """Run `cases` in all, in so many processes at once; return the outcomes by subject and the peak of memory."""
    found: dict[str, Counter[str]] = {name: Counter() for name in subjects()}
    peak = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processes) as pool:
        (Path(folder) / "sitecustomize.py").write_text(HOOK)
        running = {pool.submit(_apart, *batch, Path(folder)): batch for batch in _batches(cases)}
        with progress_bar("fuzz", cases, "files") as bar:
            for one in as_completed(running):
                outcomes, most = one.result()
                name, _, count = running[one]
                found[name] += outcomes
                peak = max(peak, most)
                bar.update(count)
    return found, peak


def told(found: dict[str, Counter[str]], cases: int, peak: int) -> tuple[list[str], bool]:
    """Return the lines to print, and whether all is well: no fault, no case lost, memory below the bound."""
    lines, all_ = [], sum(found.values(), Counter())
    for name, outcomes in found.items():
        strange = [what for what in outcomes if what not in ("values", "refused")]
        lines.append(f"{name}: {outcomes['values']} gave values, {outcomes['refused']} were refused")
        lines += [f"    FAULT {what}" for what in strange[:5]]
    faults = all_.total() - all_["values"] - all_["refused"]
    lines.append(
        f"{all_.total()} of {cases} files: {all_['values']} gave values, {all_['refused']} were refused, "
        f"{faults} faults; at most {peak / 1e6:.0f} MB in a process"
    )
    return lines, not faults and all_.total() == cases and peak < MEMORY


def main() -> None:
    """Run the number of cases that the command line names, in all, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=int)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", nargs=2, metavar=("SUBJECT", "FIRST"), help="in this process, from this case on")
    given = parser.parse_args()
    if given.only:
        _child(given.only[0], int(given.only[1]), given.cases)
        return
    began = time.monotonic()
    found, peak = fuzz(given.cases, given.processes)
    lines, is_well = told(found, given.cases, peak)
    took = time.monotonic() - began
    print("\n".join(lines), f"\n{took:.0f} s, {given.cases / took:.0f} files a second", sep="")
    sys.exit(not is_well)


if __name__ == "__main__":
    main()
