"""iBims-1: with and without its masks, and its calibration."""

from __future__ import annotations

import numpy as np

from depth_model import readers

from .layouts import ibims

READER = readers.get("ibims")


def test_without_masks_everything_but_zero_counts(tmp_path):
    ibims.write(tmp_path)
    for sample in READER(tmp_path, masks=False):
        np.testing.assert_allclose(sample.target, ibims.METERS, rtol=1e-6)
        assert sample.intrinsics == (560.45, 560.9, 320.1, 239.4)


def test_calibration_may_be_missing(tmp_path):
    ibims.write(tmp_path)
    (tmp_path / "ibims1_core_raw" / "calib" / "corridor_01.txt").unlink()
    assert next(READER(tmp_path)).intrinsics is None
