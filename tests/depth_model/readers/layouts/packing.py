"""Archives of encoded pictures, written by tarfile, zipfile, lmdb and OpenCV."""

from __future__ import annotations

import io
import tarfile
import zipfile

import cv2
import lmdb
import numpy as np
from PIL import Image


def picture(seed=0, kind="JPEG", shape=(24, 32)):
    """The bytes of a noise picture."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def tar(path, content, mode="w", **settings):
    """Write {name: bytes, or a TarInfo made ready} as a tar file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, **settings) as archive:
        for name, data in content.items():
            entry = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data) if isinstance(data, bytes) else None)


def link(name, target):
    """A symbolic link as a member of a tar."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry


def zipped(path, content, method=zipfile.ZIP_DEFLATED):
    """Write {name: bytes} as a zip file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def database(folder, content):
    """Write {key: bytes} as an LMDB folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    environment = lmdb.open(str(folder), map_size=2**26)
    with environment.begin(write=True) as transaction:
        for key, value in content.items():
            transaction.put(key.encode(), value)
    environment.close()


def video(path, count, shape=(64, 96)):
    """Write a video of `count` frames whose brightness and pattern tell them apart; returns nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 30, shape[::-1])
    assert writer.isOpened()
    for number in range(count):
        image = np.full((*shape, 3), 5 * number % 256, np.uint8)
        image[:, : 2 + number] = 255 - image[0, -1]
        writer.write(image)
    writer.release()
