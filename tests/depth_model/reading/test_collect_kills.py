"""kill -9 in the middle of a collection from every kind of archive, and by Ray: the same command has the same bytes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from PIL import Image

from depth_model import readers
from depth_model.reading.collecting import collect_source

COUNT = 30
SETTINGS = {"max_side": 64, "minimum_side": 8, "samples_per_shard": 4}

STARTED = """
import dataclasses, sys, time
from pathlib import Path
from depth_model import readers
from depth_model.reading.collecting import collect_source

if __name__ == "__main__":
    reader = readers.get(sys.argv[1])
    load, pause = reader.load, float(sys.argv[5])
    def slow(root, item, options):
        time.sleep(pause)
        return load(root, item, options)
    root, scratch, result = map(Path, sys.argv[2:5])
    collect_source(dataclasses.replace(reader, load=slow), root, reader.options(), scratch, result, max_side=64,
                   minimum_side=8, samples_per_shard=4, workers=1, engine=sys.argv[6])
"""


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def pack_tar(root: Path, mode: str, name: str) -> None:
    with tarfile.open(root / name, mode) as archive:
        for number in range(COUNT):
            data = picture(number)
            entry = tarfile.TarInfo(f"{number:03d}.jpg")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def pack_zip(root: Path) -> None:
    with zipfile.ZipFile(root / "pictures.zip", "w") as archive:
        for number in range(COUNT):
            archive.writestr(f"{number:03d}.jpg", picture(number))


def pack_video(root: Path) -> None:
    writer = cv2.VideoWriter(str(root / "walk.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for number in range(COUNT):
        writer.write(np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()


def pack_lmdb(root: Path) -> None:
    folder = str(root / "church_train_lmdb")
    with lmdb.open(folder, map_size=1 << 24) as database, database.begin(write=True) as writing:
        for number in range(COUNT):
            writing.put(f"{number:040x}".encode(), picture(number))


KINDS = {
    "tar": ("image_archives", lambda root: pack_tar(root, "w", "pictures.tar")),
    "compressed tar": ("image_archives", lambda root: pack_tar(root, "w:gz", "pictures.tar.gz")),
    "zip": ("image_archives", pack_zip),
    "video": ("image_archives", pack_video),
    "LMDB": ("lsun", pack_lmdb),
    "tar, by Ray": ("image_archives", lambda root: pack_tar(root, "w", "pictures.tar")),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_reading_an_archive_it_ends_in_the_same_bytes(kind, tmp_path, repository, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    name, pack = KINDS[kind]
    engine = "ray" if kind.endswith("Ray") else "local"
    root = tmp_path / "packed"
    root.mkdir()
    pack(root)
    reader = readers.get(name)
    collect_source(reader, root, reader.options(), tmp_path / "s", tmp_path / "whole", workers=1, **SETTINGS)
    (tmp_path / "start.py").write_text(STARTED)
    command = [sys.executable, tmp_path / "start.py", name, root, tmp_path / "scratch", tmp_path / "end"]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    process = subprocess.Popen([*command, "0.1", engine], env=environment)
    while not list((tmp_path / "scratch").glob("shard-*.parquet")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = list((tmp_path / "scratch").glob("shard-*.parquet"))
    assert 0 < len(finished) < COUNT / 4
    assert not (tmp_path / "end").exists()
    before = {path: path.stat().st_mtime_ns for path in finished}
    subprocess.run([*command, "0", engine], env=environment, check=True)
    assert {path: path.stat().st_mtime_ns for path in finished} == before  # not made again
    assert contents(tmp_path / "end") == contents(tmp_path / "whole")
    assert len(contents(tmp_path / "whole")) > COUNT / 4
