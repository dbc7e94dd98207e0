"""What is said of a folder in which something is missing."""

from __future__ import annotations

import pytest

from depth_model import readers
from depth_model.reading import roots


@pytest.fixture
def half(tmp_path):
    """A scene whose depth is still packed, beside a note."""
    (tmp_path / "office" / "image").mkdir(parents=True)
    (tmp_path / "office" / "depth.zip").write_bytes(b"")
    (tmp_path / "README").write_text("")
    return tmp_path


def test_a_complete_root_has_no_fault(half):
    assert roots.fault(half, ["*/image", "office/*.zip", "nothing | README"], "shop") == ""


def test_what_is_missing_what_is_there_and_what_to_do(half):
    message = roots.fault(half, ["*/image", "*/depth"], "https://example.org")
    assert message == (
        f"no */depth in '{half}'; found: depth.zip, image/ in office (unpack depth.zip first); "
        "to get it: https://example.org"
    )
    assert "no */depth or */depths in" in roots.fault(half, ["*/depth | */depths"], "")
    assert "found: README, office/" in roots.fault(half, ["*.png"], "")


def test_long_listings_are_cut_short(tmp_path):
    assert "found: nothing" in roots.fault(tmp_path, ["*"], "")
    for number in range(20):
        (tmp_path / f"{number:02d}").write_text("")
    assert "found: 00, 01, 02, 03, 04, 05, 06, 07 and 12 more" in roots.fault(tmp_path, ["*.png"], "")


def test_a_reader_says_that_nothing_was_listed(tmp_path):
    for folder in ("imgs", "gts", "valid_masks"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"hrwsi: not one sample in .*, although there is train/imgs"):
        list(readers.get("hrwsi")(tmp_path))
    assert list(readers.get("image_folder")(tmp_path)) == [], "a folder of pictures may be empty"
