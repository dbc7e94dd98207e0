"""Rasters put together by hand from docs/dar.md alone: the decoder reads what the page says, not what we encode."""

from __future__ import annotations

import json
import re
import struct

import numpy as np
import pytest

from depth_model.errors import BadInput
from depth_model.shards import manifest, rasters


def frame(content):
    """A Zstandard frame of one raw block, after RFC 8878: no library takes part."""
    return b"\x28\xb5\x2f\xfd\x20" + bytes([len(content)]) + struct.pack("<I", len(content) << 3 | 1)[:3] + content


def blob(header, payload):
    return b"DAR1" + struct.pack("<I", len(header)) + header.encode("ascii") + payload


def test_the_example_of_the_page_is_what_it_says(repository):
    page = (repository / "docs" / "dar.md").read_text("utf-8")
    header, payload = (re.search(f"```{kind}\n(.*?)\n```", page, re.S).group(1) for kind in ("json", "hex"))
    found = rasters.decode(blob(header, bytes.fromhex(payload)))
    wanted = np.array([[1.0, 1.001, np.nan], [1.002, 1.002, 1.499]], np.float32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)
    assert rasters.header(rasters.encode_exact(wanted)) == json.loads(header)
    with pytest.raises(BadInput, match="damaged raster"):
        rasters.decode(blob(header, bytes.fromhex(payload)[:-1]))


def test_bit_patterns():
    # 1.0 is 3f800000 and NaN 7fc00000; the second differs by 40400000 from the first; zigzag doubles what is positive.
    header = '{"height":1,"width":2,"codec":"float32","bits":32,"scale":null,"offset":null,"minimum":1.0,"maximum":1.0}'
    found = rasters.decode(blob(header, frame(bytes.fromhex("0000 0000 0080 7f80"))))
    np.testing.assert_array_equal(found, np.array([[1, np.nan]], np.float32))


@pytest.mark.parametrize(
    ("order", "low"),
    # codes 15, 1 and 0, 2; differences 15, -14 and -15, 16; those of them 15, -29 and -30, 60
    [(1, [30, 27, 29, 32]), (2, [30, 57, 59, 120])],
)
def test_codes_of_a_pseudo_label(order, low):
    header = '{"height":2,"width":2,"codec":"quantised","bits":4,"scale":null,"offset":null,'
    data = blob(f'{header}"minimum":0.0,"maximum":7.0,"order":{order}}}', frame(bytes([*low, 0, 0, 0, 0])))
    np.testing.assert_array_equal(rasters.decode(data), np.array([[7, 0], [np.nan, 0.5]], np.float32))
    np.testing.assert_array_equal(rasters.decode_codes(data), [[15, 1], [0, 2]])


def test_the_page_names_every_column_of_the_tables(repository):
    page = (repository / "docs" / "dar.md").read_text("utf-8")
    fields = [*manifest.MANIFEST_SCHEMA, *manifest.QUARANTINE_SCHEMA, *manifest.SIDECAR_FIELDS]
    whole = [one.name for one in fields if not one.name.startswith(("target_o", "target_s", "semantic_"))]
    assert [name for name in whole if f"`{name}`" not in page] == []
