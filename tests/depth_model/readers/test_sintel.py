"""Sintel: both renderings, intrinsics, and .dpt files that are broken."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.readers.sintel import dpt

from .layouts import sintel

READER = readers.get("sintel")


def test_renderings_share_their_depth(tmp_path):
    sintel.write(tmp_path)
    final, clean = (
        list(READER(tmp_path, rendering=name, on_rejected=lambda item, reason: None)) for name in ("final", "clean")
    )
    assert [sample.key for sample in clean] == ["clean/alley_1/frame_0001", "clean/alley_1/frame_0002"]
    assert np.array_equal(final[0].target, clean[0].target)
    assert final[0].source_path != clean[0].source_path


def test_intrinsics_where_there_are_some(tmp_path):
    sintel.write(tmp_path)
    first, second = READER(tmp_path, on_rejected=lambda item, reason: None)
    assert first.intrinsics == (1120, 1121, 511.5, 217.5)
    assert second.intrinsics is None


def test_the_training_folder_itself_is_a_root(tmp_path):
    sintel.write(tmp_path)
    (tmp_path / "MPI-Sintel-depth" / "training" / "depth").rename(tmp_path / "MPI-Sintel-complete/training/depth")
    assert next(READER(tmp_path / "MPI-Sintel-complete" / "training")).key == "final/alley_1/frame_0001"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PIEH",
        b"PIEF" + struct.pack("<iif", 1, 1, 1),
        b"PIEH" + struct.pack("<ii", 2, 2) + bytes(12),
        b"PIEH" + struct.pack("<ii", 2, 2) + bytes(20),
        b"PIEH" + struct.pack("<ii", -1, -1) + bytes(4),
        b"PIEH" + struct.pack("<ii", 2**31 - 1, 2**31 - 1),
    ],
)
def test_a_broken_dpt_file_is_refused(data):
    with pytest.raises(BadInput, match=r"\.dpt"):
        dpt(data)
