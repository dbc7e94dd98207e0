"""Members of archives against the libraries that wrote them, and what broken and hostile archives give."""

from __future__ import annotations

import gzip
import io
import random
import resource
import struct
import subprocess
import sys
import tarfile
import zipfile

import lmdb
import numpy as np
import pytest

from depth_model.errors import BadInput
from depth_model.reading import archives, video
from depth_model.shards import images

pytestmark = pytest.mark.hostile

CONTENT = {f"folder/{number}-ünï.bin": random.Random(number).randbytes(7**number) for number in range(6)}
LONG = "d" * 90 + "/" + "f" * 200


def listed(path):
    found = list(archives.members(path))
    good = {one.name: archives.read(path, one.place) for one in found if not one.reason}
    return good, {one.name: one.reason for one in found if one.reason}


def write_tar(path, content, **settings):
    with tarfile.open(path, **{"mode": "w", **settings}) as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_tar_of_every_kind(tmp_path, kind, name):
    content = CONTENT | ({LONG: b"long"} if kind != tarfile.USTAR_FORMAT else {"p" * 120 + "/" + "n" * 90: b"long"})
    write_tar(tmp_path / name, content, format=kind, mode="w:gz" if name.endswith("gz") else "w")
    assert listed(tmp_path / name) == (content, {})


def test_members_of_a_compressed_tar_in_any_order(tmp_path):
    write_tar(tmp_path / "a.tgz", CONTENT, mode="w:gz")
    members = list(archives.members(tmp_path / "a.tgz"))
    for one in [*members[::-1], *members[::2]]:
        assert archives.read(tmp_path / "a.tgz", one.place) == CONTENT[one.name]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for name, data in CONTENT.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
    assert listed(tmp_path / "a.zip") == (CONTENT, {})


def test_zip_with_a_large_directory_record(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(66):
            archive.writestr(f"{number}", b"")
    assert sum(1 for _ in archives.members(tmp_path / "a.zip")) == 66


def test_lmdb(tmp_path):
    content = {
        f"{random.Random(number).getrandbits(160):040x}": bytes([number % 256]) * (number * 37 % 9000)
        for number in range(800)
    }
    environment = lmdb.open(str(tmp_path / "base"), map_size=2**26)
    for keys in (list(content)[:500], list(content)[500:]):
        with environment.begin(write=True) as transaction:
            for key in keys:
                transaction.put(key.encode(), content[key])
    with environment.begin(write=True) as transaction:
        transaction.delete(sorted(content)[3].encode())
    with environment.begin() as transaction:
        expected = {key.decode(): value for key, value in transaction.cursor()}
    environment.close()
    found, refused = listed(tmp_path / "base" / "data.mdb")
    assert (found, refused) == (expected, {})
    assert list(found) == list(expected)


def test_frames_at_random_are_those_in_order(tmp_path):
    import cv2

    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 30, (64, 48))
    for number in range(40):
        writer.write(np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1))
    writer.release()
    in_order = list(video.frames(tmp_path / "a.mp4"))
    assert [one.place for one in archives.members(tmp_path / "a.mp4", 10)] == [f"frame:{n}" for n in (0, 10, 20, 30)]
    for number in (31, 3, 4, 20, 0, 39):
        assert video.jpeg_frame(tmp_path / "a.mp4", number) == images.encode_jpeg(in_order[number])
    with pytest.raises(BadInput, match="frame 40 cannot be read"):
        video.jpeg_frame(tmp_path / "a.mp4", 40)


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.zip"])
def test_what_precedes_the_end_of_a_cut_archive_is_kept(tmp_path, name):
    path = tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in CONTENT.items():
                archive.writestr(member, data)
    else:
        write_tar(path, CONTENT, mode="w:gz" if name == "a.tgz" else "w")
    whole = path.read_bytes()
    for keep in (len(whole) - 12_000, len(whole) // 3, 1600):
        path.write_bytes(whole[:keep])
        good, refused = listed(path)
        assert len(refused) == 1
        assert list(good.items()) == list(CONTENT.items())[: len(good)]
        assert len(good) >= 1


@pytest.mark.parametrize("keep", [3000, 9000, 40_000])
def test_a_cut_database_does_not_end_the_process(tmp_path, keep):
    environment = lmdb.open(str(tmp_path / "base"), map_size=2**26)
    with environment.begin(write=True) as transaction:
        for number in range(200):
            transaction.put(f"{number:04d}".encode(), bytes([number]) * 500)
    environment.close()
    path = tmp_path / "base" / "data.mdb"
    path.write_bytes(path.read_bytes()[:keep])
    good, refused = listed(path)
    assert refused
    assert all(data == bytes([int(name)]) * 500 for name, data in good.items())


def special(name, kind, **fields):
    entry = tarfile.TarInfo(name)
    entry.type = kind
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry


def test_links_devices_and_names_that_lead_out_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(special("link.jpg", tarfile.SYMTYPE, linkname="/etc/passwd"))
        archive.addfile(special("hard.jpg", tarfile.LNKTYPE, linkname="../x"))
        archive.addfile(special("device.jpg", tarfile.CHRTYPE))
        for name in ("../out.jpg", "/etc/out.jpg", "a/../../out.jpg", "a\\b.jpg", "n" * 2000):
            archive.addfile(special(name, tarfile.REGTYPE))
        archive.addfile(special("good.jpg", tarfile.REGTYPE))
    good, refused = listed(tmp_path / "a.tar")
    assert good == {"good.jpg": b""}
    assert len(refused) == 8
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../out.jpg", b"")
    good, refused = listed(tmp_path / "a.zip")
    assert not good
    assert "a link" in refused["link.jpg"]
    assert "leads out" in refused["../out.jpg"]


def test_a_zip_bomb_is_not_unpacked_further_than_it_announces(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("honest", "liar"):
            archive.writestr(name, bytes(10**7))
    data = bytearray(path.read_bytes())
    for at, size in ((data.index(b"PK\1\2"), archives.MAX_BYTES + 1), (data.rindex(b"PK\1\2"), 100)):
        data[at + 24 : at + 28] = struct.pack("<I", size)
    path.write_bytes(data)
    honest, liar = archives.members(path)
    assert "at most" in honest.reason
    with pytest.raises(BadInput, match="damaged"):
        archives.read(path, liar.place)


MEMORY = """
import pathlib, resource, sys
from depth_model.reading import archives
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
print([one.reason for one in archives.members(pathlib.Path(sys.argv[1]))])
"""


def test_an_extended_header_of_gigabytes_is_not_read(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**32
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as stream:
        stream.write(header.tobuf(tarfile.GNU_FORMAT))
        stream.write(bytes(2**20))
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "a.tar.gz")]
    assert "an extended header of 4294967296 bytes" in subprocess.run(command, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.zip", "data.mdb"])
def test_damage_anywhere_is_told_or_harmless(tmp_path, name):
    """A few hundred mutations: whatever is damaged, listing ends, and reading gives bytes or BadInput."""
    path = tmp_path / name
    if name == "data.mdb":
        environment = lmdb.open(str(tmp_path / "base"), map_size=2**22)
        with environment.begin(write=True) as transaction:
            for number in range(30):
                transaction.put(f"{number:04d}".encode(), bytes(number * 40))
        environment.close()
        path = tmp_path / "base" / name
    elif name == "a.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.jpg", b"abc" * 99)
            archive.writestr("b.jpg", b"abc")
    else:
        write_tar(path, {"a.jpg": b"abc", LONG: b"x" * 600}, mode="w:gz" if name == "a.tgz" else "w")
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        path.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
        for one in archives.members(path):
            if not one.reason:
                try:
                    assert isinstance(archives.read(path, one.place), bytes)
                except BadInput:
                    pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20  # kilobytes
