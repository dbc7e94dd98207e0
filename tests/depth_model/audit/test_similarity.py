"""Similar fingerprints against the comparison of all with all."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.audit.similarity import FARTHEST_PAIR, FARTHEST_WINDOW, WindowIndex, similar_pairs


def changed(generator, bits, most):
    """`bits` with 0 to `most` of the 128 bits of each row turned over."""
    found = bits.copy()
    for row in found:
        for place in generator.choice(128, generator.integers(0, most + 1), replace=False):
            row[place // 64] ^= np.uint64(1) << np.uint64(place % 64)
    return found


@pytest.fixture
def bits():
    generator = np.random.default_rng(4)
    return generator, generator.integers(0, 2**64, (800, 2), np.uint64)


def all_distances(left, right):
    return np.bitwise_count(left[:, None] ^ right[None]).sum(-1)


@pytest.mark.parametrize("distance", [0, 7, FARTHEST_WINDOW])
def test_the_index_finds_exactly_what_comparing_all_finds(bits, distance):
    generator, stored = bits
    known = changed(generator, stored[generator.integers(0, 800, 300)], 22)
    rows, found, distances = WindowIndex(known, distance).lookup(stored)
    expected = all_distances(stored, known)
    assert list(zip(rows, found)) == list(zip(*np.nonzero(expected <= distance)))
    assert np.array_equal(distances, expected[rows, found])
    assert len(rows) > 0


def test_the_index_keeps_its_blocks_small_when_all_are_alike(bits, monkeypatch):
    monkeypatch.setattr("depth_model.audit.similarity._PAIRS_AT_ONCE", 100)
    same = np.repeat(bits[1][:1], 40, 0)
    rows, _, _ = WindowIndex(same, 3).lookup(same)
    assert len(rows) == 1600


def test_an_empty_index_finds_nothing(bits):
    rows, known, distances = WindowIndex(np.empty((0, 2), np.uint64), 5).lookup(bits[1])
    assert len(rows) == len(known) == len(distances) == 0


def test_pairs_are_exactly_those_that_comparing_all_finds(bits):
    generator, stored = bits
    both = np.concatenate([stored, changed(generator, stored[::4], 9)])
    earlier, later = similar_pairs(both, FARTHEST_PAIR)
    expected = np.nonzero(np.tril(all_distances(both, both) <= FARTHEST_PAIR, -1))
    assert list(zip(later, earlier)) == list(zip(*expected))
    assert len(earlier) > 100


def test_mirror_images_are_pairs(bits):
    from depth_model.shards.fingerprints import mirrored_bits

    stored = bits[1][:50]
    earlier, later = similar_pairs(np.concatenate([stored, mirrored_bits(stored)]), 0)
    assert np.array_equal(earlier, np.arange(50))
    assert np.array_equal(later, np.arange(50, 100))


def test_of_many_equal_ones_each_is_paired_with_the_first(bits):
    earlier, later = similar_pairs(np.repeat(bits[1][:1], 500, 0), 3)
    assert set(earlier.tolist()) == {0}
    assert later.tolist() == list(range(1, 500))


def test_distances_beyond_the_promise_are_refused(bits):
    with pytest.raises(ValueError, match="0 to 15"):
        WindowIndex(bits[1], FARTHEST_WINDOW + 1)
    with pytest.raises(ValueError, match="0 to 6"):
        similar_pairs(bits[1], FARTHEST_PAIR + 1)
