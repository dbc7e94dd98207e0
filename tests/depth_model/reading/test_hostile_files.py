"""Damaged and hostile files: refused with a reason or read, never anything else."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from depth_model.errors import BadInput
from depth_model.readers import get
from depth_model.reading import formats
from depth_model.reading.collecting import collect_source
from depth_model.shards import images, rasters

from .hostile_files import HOOK, fuzz, run, subjects, told

pytestmark = pytest.mark.hostile


@pytest.mark.parametrize("name", list(subjects()))
def test_damaged_files_are_read_or_refused(name):
    found = run(name, 0, 40)
    assert set(found) <= {"values", "refused"}
    assert found["refused"] > 0


@pytest.mark.slow
def test_thousands_of_damaged_files_add_up_to_values_and_refusals():
    found, peak = fuzz(6000, 2)
    lines, is_well = told(found, 6000, peak)
    assert is_well, "\n".join(lines)
    assert sum(found.values(), Counter()).total() == 6000


HOSTILE = {
    "a program": "import subprocess; subprocess.run(['true'])",
    "a shell": "import os; os.system('true')",
    "another program in its place": "import os; os.execv('/bin/true', ['true'])",
    "a class out of a pickle": "import pickle, pathlib; pickle.loads(pickle.dumps(pathlib.Path('a')))",
    "a connection": "import socket; socket.socket().connect(('127.0.0.1', 9))",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_decoder_must_not_do_is_seen(name, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    watched = os.environ | {"WATCHED": "yes", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", f"try:\n    {HOSTILE[name]}\nexcept Exception:\n    pass"]
    assert subprocess.run(command, env=watched, stderr=subprocess.DEVNULL, check=False).returncode == 113


@pytest.mark.parametrize("name", list(subjects()))
def test_the_files_that_are_damaged_were_good(name):
    decoder, valid = subjects()[name]
    assert decoder(valid) is not None


class Malicious:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_objects_in_numpy_files_are_not_unpickled(capsys):
    for content in (np.array([Malicious()], object), np.array([{}], object)):
        buffer = io.BytesIO()
        np.save(buffer, content, allow_pickle=True)
        with pytest.raises(BadInput):
            formats.npy(buffer.getvalue())
    with pytest.raises(BadInput):
        formats.npy(pickle.dumps(Malicious()))
    assert "never run" not in capsys.readouterr().out


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(side, bits=8):
    """A PNG that announces side x side pixels in a few kilobytes."""
    head = struct.pack(">IIBBBBB", side, side, bits, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


BOUNDED = """
import resource, sys
from depth_model.reading import formats
from depth_model.shards import images, rasters
from depth_model.errors import BadInput
data = sys.stdin.buffer.read()
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for decode in (images.decode_rgb, formats.picture, rasters.decode_labels):
    try:
        decode(data)
    except BadInput as error:
        print("refused:", error)
"""


@pytest.mark.parametrize("side", [60_000, 2**31 - 1])
def test_decompression_bombs_are_refused_in_bounded_memory(side):
    command = [sys.executable, "-c", BOUNDED]
    done = subprocess.run(command, input=huge_png(side), capture_output=True, timeout=120, check=True)
    assert done.stdout.decode().count("refused:") == 3


@pytest.mark.parametrize("values", [np.full((8, 8), np.nan), np.full((8, 8), np.inf), np.full((8, 8), -np.inf)])
def test_floods_of_no_numbers_leave_no_label(values):
    assert np.isnan(formats.depth(values.astype(np.float32))).all()


def test_cmyk_and_other_modes_are_read_as_what_they_show():
    red = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    buffer = io.BytesIO()
    red.save(buffer, "JPEG", quality=100)
    pixel = images.decode_rgb(buffer.getvalue())[1, 1].astype(int)
    assert pixel[0] > 200 and pixel[1] < 60 and pixel[2] < 60


def test_strange_names_are_kept_or_quarantined_and_nothing_is_lost(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    names = ["ä ö.png", "x" * 240 + ".png", "tab\t.png", "line\nbreak.png", "dots...png", "%s{}.png", "-rf.png"]
    for number, name in enumerate(names):
        Image.new("RGB", (40, 40), (number * 20, 0, 0)).save(root / name)
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    Image.new("RGB", (40, 40)).save(tmp_path / "outside.png")
    reader = get("image_folder")
    limits = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 3, "workers": 1}
    collect_source(reader, root, reader.options(), tmp_path / "scratch", tmp_path / "result", **limits)
    from depth_model.shards import manifest

    kept = manifest.read_frame(tmp_path / "result" / manifest.MANIFEST)
    refused = manifest.read_frame(tmp_path / "result" / manifest.QUARANTINE)
    assert len(kept) == len(names)
    assert list(refused["source_path"]) == ["link.png"]
    assert "leads out of the root" in refused["reason"][0]


def test_a_raster_that_announces_more_than_it_holds_is_refused():
    valid = rasters.encode_quantized(np.random.default_rng(0).random((16, 16), np.float32), 12)
    length = struct.unpack("<I", valid[4:8])[0]
    head = valid[8 : 8 + length].replace(b"16", b"99")
    with pytest.raises(BadInput):
        rasters.decode(valid[:4] + struct.pack("<I", len(head)) + head + valid[8 + length :])
