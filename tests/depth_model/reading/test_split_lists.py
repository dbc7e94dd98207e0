"""List files as other systems write them."""

from __future__ import annotations

import codecs

import pytest

from depth_model.errors import BadInput
from depth_model.reading import split_lists

EXPECTED = [["rgb/0.png", "721.5"], ["rgb/1.png", "None"]]
TEXT = "rgb/0.png 721.5\n\nrgb/1.png None\n"
WRITTEN = {
    "plain": TEXT.encode(),
    "Windows": TEXT.replace("\n", "\r\n").encode(),
    "mark": codecs.BOM_UTF8 + TEXT.encode(),
    "UTF-16, little end first": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "UTF-16, big end first": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "dot": TEXT.replace("rgb", "./rgb").encode(),
    "backslashes": TEXT.replace("/", "\\").replace("rgb", ".\\rgb").encode(),
    "no end": TEXT.rstrip().encode(),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_images_from_each(tmp_path, name):
    (tmp_path / "list.txt").write_bytes(WRITTEN[name])
    assert list(split_lists.lines(tmp_path, "list.txt")) == EXPECTED


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"caf\xe9.png\n", TEXT.encode("utf-16-le"), bytes(100)])
def test_what_is_no_text_is_one_line(tmp_path, data):
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(BadInput, match=r"list: list\.txt is not a text file \(of UTF-8 or UTF-16\)"):
        list(split_lists.lines(tmp_path, "list.txt"))
