"""DIODE: domains, splits and masks."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model import readers
from depth_model.errors import BadInput

from .layouts import diode

READER = readers.get("diode")


def keys(root, **options):
    return [sample.key.rpartition("/")[2] for sample in READER(root, on_rejected=lambda item, why: None, **options)]


def test_domains_are_told_by_the_name_of_the_file(tmp_path):
    diode.write(tmp_path)
    assert keys(tmp_path, domain="indoors") == ["00019_00183_indoors_000_010"]
    assert keys(tmp_path, domain="outdoor") == ["00019_00183_outdoor_000_010"]
    assert keys(tmp_path / "val" / "outdoor") == ["00019_00183_outdoor_000_010"]


def test_a_split_that_is_not_there_is_explained(tmp_path):
    diode.write(tmp_path)
    with pytest.raises(BadInput, match=r"no \*\*/train/\*\*/.*png in .*; to get it: https://diode-dataset\.org"):
        keys(tmp_path, split="train")


def test_a_mask_of_another_shape_is_refused(tmp_path):
    diode.write(tmp_path)
    (path,) = tmp_path.rglob("*_outdoor_*_depth_mask.npy")
    np.save(path, np.ones((3, 3), np.float32))
    with pytest.raises(BadInput, match=r"shape \(3, 3\), but the depth has \(6, 8\)"):
        list(READER(tmp_path, domain="outdoor"))


def test_camera_of_the_devkit(tmp_path):
    diode.write(tmp_path)
    assert next(READER(tmp_path)).intrinsics == (886.81, 927.06, 512, 384)


def test_without_masks_the_depth_is_what_was_scanned(tmp_path):
    diode.write(tmp_path)
    masked, whole = (next(READER(tmp_path, domain="indoors", masks=masks)).target for masks in (True, False))
    assert np.isnan(masked).sum() > np.isnan(whole).sum()
    np.testing.assert_array_equal(whole[~np.isnan(masked)], masked[~np.isnan(masked)])
