"""MATLAB files written by scipy, and what is wrong with files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from depth_model.errors import BadInput
from depth_model.reading import matlab
from depth_model.shards import decoding


def written(compressed=True, **content):
    stream = io.BytesIO()
    savemat(stream, content, do_compression=compressed)
    return stream.getvalue()


NUMBERS = np.arange(12, dtype=np.uint16).reshape(3, 4)
NAMES = ["/n/fs/sun3d/data/SUNRGBD/kv2/a", "b", "", "rgb-ä"]
PLAIN, PACKED = (written(compressed, a=NUMBERS, s=np.array([NAMES], object)) for compressed in (False, True))


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_numbers_come_in_their_shape(compressed, dtype):
    values = np.arange(-6 if dtype[0] != "u" else 0, 6).astype(dtype)
    values = values[: values.size // 2 * 2].reshape(2, -1)
    for one in (values, values[:, :1], values[:1, :1]):
        found = matlab.variable(written(compressed, other=np.ones((2, 2)), testNdxs=one), "testNdxs")
        assert found.dtype.kind in "iuf"
        assert np.array_equal(found, one)


@pytest.mark.parametrize("data", [PLAIN, PACKED])
def test_cells_of_text_come_in_order(data):
    assert matlab.variable(data, "s") == NAMES
    assert np.array_equal(matlab.variable(data, "a"), NUMBERS)
    with pytest.raises(BadInput, match="no variable 'depths'"):
        matlab.variable(data, "depths")


@pytest.mark.parametrize("value", [{"field": 1.0}, "text", np.array([[1.0]], object)])
def test_other_kinds_are_refused(value):
    with pytest.raises(BadInput):
        matlab.variable(written(x=value), "x")


@pytest.mark.parametrize("data", [b"", b"MATLAB 5.0", b"\x89HDF\r\n\x1a\n" + bytes(600), bytes(2000)])
def test_what_is_no_matlab_file_is_refused(data):
    with pytest.raises(BadInput, match="not a MATLAB file"):
        matlab.variable(data, "any")


@pytest.mark.parametrize("data", [PLAIN, PACKED])
def test_every_truncation_is_refused(data):
    for length in range(len(data)):
        try:
            found = matlab.variable(data[:length], "s")
        except BadInput:
            continue
        assert len(data) - length < 8 and found == NAMES, "nothing but the zeros at the end is missing"


def test_a_bomb_is_refused_before_it_is_unpacked():
    with decoding.limited_to(1000), pytest.raises(BadInput, match="decode_budget is 1000"):
        matlab.variable(written(a=np.zeros((1, 10**6))), "a")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([PLAIN, PACKED]), st.sampled_from("as"), st.data())
def test_damage_is_refused_or_read_but_never_an_error(data, name, draw):
    changed = bytearray(data)
    for position in draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=4)):
        changed[position] = draw.draw(st.integers(0, 255))
    try:
        found = matlab.variable(bytes(changed), name)
    except BadInput:
        return
    assert isinstance(found, (list, np.ndarray))
