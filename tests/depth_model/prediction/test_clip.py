"""A planted flicker is taken out of a clip, a cut is seen, and meters stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.prediction.clip import clip_range, shares, steadied


def walk(frames=12, height=48, width=64):
    """Maps of a scene in which a box moves before a slope."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    for number in range(frames):
        box = (abs(rows - 24) < 8) & (abs(columns - 10 - 2 * number) < 6)
        yield np.where(box, 80, rows + columns / 4).astype(np.float32)


def flickering(maps):
    generator = np.random.default_rng(0)
    for one in maps:
        yield (one * generator.uniform(0.8, 1.25) + generator.uniform(-5, 5)).astype(np.float32)


def mean(found, field):
    return np.nanmean([getattr(one, field) for one in found])


def test_flicker_goes_and_movement_stays():
    still = mean(list(steadied(walk(), aligned=False)), "raw")
    found = list(steadied(flickering(walk()), aligned=True))
    assert np.isnan(found[0].steady)
    assert mean(found, "raw") > 3 * still
    assert mean(found, "steady") < 0.35 * mean(found, "raw")
    boxes = [float(one.values[24, 10 + 2 * number]) for number, one in enumerate(found)]
    ground = [float(one.values[5, 60]) for one in found]
    assert min(np.array(boxes) / np.array(ground)) > 2


def test_meters_stay_and_their_difference_is_told():
    maps = list(flickering(walk()))
    found = list(steadied(maps, aligned=False))
    assert all(np.array_equal(one.values, given) for one, given in zip(found, maps))
    assert found[1].raw == found[1].steady == pytest.approx(np.abs(maps[1] - maps[0]).mean(), rel=1e-6)


def test_a_cut_begins_anew():
    other = np.random.default_rng(1).uniform(0, 100, (48, 64)).astype(np.float32)
    found = list(steadied([*walk(3), other, other], aligned=True))
    assert [bool(np.isnan(one.raw)) for one in found] == [True, False, False, True, False]
    np.testing.assert_array_equal(found[3].values, other)


def test_one_range_for_the_clip():
    limits = clip_range([np.linspace(0, 1, 101), np.linspace(5, 10, 101)])
    assert limits == (pytest.approx(0.01), pytest.approx(9.95))
    np.testing.assert_allclose(shares(np.array([-1, limits[0], limits[1], 99]), limits), [0, 0, 1, 1])
