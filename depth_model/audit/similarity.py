"""Pairs of similar fingerprints among millions, without comparing all with all.

Two ways, for two questions. `WindowIndex`: which of many fingerprints come near one of a few (evaluation images in
all their windows)? The 128 bits are cut into 8 bands of 16; when two fingerprints differ in at most 15 bits, some
band differs in at most one, so looking up 17 values per band misses none. `similar_pairs`: which of many come near
each other? Sorted by two bands at a time (28 orders), equal ones become neighbors when they differ in at most 6
bits. Time grows as the number of fingerprints, memory by some 150 bytes for each.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from depth_model.shards.fingerprints import mirrored_bits

FARTHEST_WINDOW = 15
FARTHEST_PAIR = 6

_BANDS = 8
_VALUES = 1 << 16
_FLIPPED = np.concatenate([[0], 1 << np.arange(16)]).astype(np.uint16)
# Neighboring bits tend to be equal; spread over the bands they tell more images apart.
_SPREAD = np.argsort((np.arange(128) // 8 + np.arange(128)) % _BANDS, kind="stable")
_PAIRS_AT_ONCE = 1 << 21
_NEIGHBORS = 8


def _banded(bits: np.ndarray) -> np.ndarray:
    """Return the bands, uint16 (8, N), of fingerprints, uint64 (N, 2)."""
    bands = np.empty((_BANDS, len(bits)), np.uint16)
    for start in range(0, len(bits), _VALUES):
        part = np.ascontiguousarray(bits[start : start + _VALUES])
        flat = np.unpackbits(part.astype(">u8").view(np.uint8)).reshape(-1, 128).take(_SPREAD, axis=1)
        bands[:, start : start + _VALUES] = np.packbits(flat, axis=1).view(np.uint16).T
    return bands


def _distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.bitwise_count(left ^ right).sum(-1, dtype=np.int16)


class WindowIndex:
    """Fingerprints, uint64 (Q, 2), that can be looked up: those within `distance` <= 15 bits of given ones."""

    def __init__(self, bits: np.ndarray, distance: int) -> None:
        if not 0 <= distance <= FARTHEST_WINDOW:
            raise ValueError(f"distance {distance} is not within 0 to {FARTHEST_WINDOW}")
        self._bits, self._distance = bits, distance
        self._tables = []
        for band in _banded(bits):
            order = np.argsort(band, kind="stable").astype(np.int32)
            self._tables.append((order, np.searchsorted(band[order], np.arange(_VALUES + 1)).astype(np.int32)))

    def lookup(self, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (rows of `bits`, rows of the index, distances) of every pair within the distance, sorted."""
        found = [self._in_band(bits, values, table) for values, table in zip(_banded(bits), self._tables, strict=True)]
        pairs = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
        rows, known = np.divmod(pairs, max(1, len(self._bits)))
        return rows, known, _distances(bits[rows], self._bits[known])

    def _in_band(self, bits: np.ndarray, values: np.ndarray, table: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        order, starts = table
        wanted = (values[:, None] ^ _FLIPPED).astype(np.int32)
        first = starts[wanted]
        counts = starts[wanted + 1] - first
        ends = counts.sum(1).cumsum()
        pairs = [np.empty(0, np.int64)]
        start = 0
        while start < len(bits):
            reached = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, reached + _PAIRS_AT_ONCE, side="right")))
            pairs.append(self._near(bits, order, first[start:stop], counts[start:stop], start))
            start = stop
        return np.concatenate(pairs)

    def _near(
        self, bits: np.ndarray, order: np.ndarray, first: np.ndarray, counts: np.ndarray, offset: int
    ) -> np.ndarray:
        rows = np.repeat(np.arange(offset, offset + len(counts)), counts.sum(1))
        flat = counts.ravel()
        inside = np.arange(len(rows)) - np.repeat(flat.cumsum() - flat, flat)
        known = order[np.repeat(first.ravel(), flat) + inside]
        # Half of the bits rule out nearly every pair; the other half are read for the rest only.
        near = np.bitwise_count(bits[rows, 0] ^ self._bits[known, 0]) <= self._distance
        rows, known = rows[near], known[near]
        near = _distances(bits[rows], self._bits[known]) <= self._distance
        return rows[near] * len(self._bits) + known[near]


def similar_pairs(bits: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (earlier, later) row numbers of pairs of fingerprints, uint64 (N, 2), within `distance` <= 6 bits.

    Mirror images count as similar. Sorted by later, then earlier. Of many fingerprints that are all alike, each
    is paired with a few of the others. Raises ValueError for a larger distance.
    """
    if not 0 <= distance <= FARTHEST_PAIR:
        raise ValueError(f"distance {distance} is not within 0 to {FARTHEST_PAIR}")
    kept, equal = _distinct(bits)
    parts = [bits[kept[start : start + _VALUES]] for start in range(0, len(kept), _VALUES)]
    both = np.concatenate([*parts, *map(mirrored_bits, parts), bits[:0]])
    found = [equal]
    bands = _banded(both)
    for left, right in combinations(range(_BANDS), 2):
        key = bands[left].astype(np.uint32) << 16 | bands[right]
        order = np.argsort(key, kind="stable")
        key = key[order]
        near = [_neighbors(both, key, order, step, distance) for step in range(1, _NEIGHBORS + 1)]
        found.append(_paired(kept[np.concatenate(near) % len(kept)]))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 1], pairs[:, 0]


def _distinct(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of every fingerprint, sorted, and pairs (later, first) of the rows that repeat one."""
    order = np.lexsort((bits[:, 1], bits[:, 0]))
    new = np.ones(len(order), bool)
    new[1:] = (bits[order[1:]] != bits[order[:-1]]).any(1)
    first = order[new][np.cumsum(new) - 1] if len(order) else order
    return np.sort(order[new]), np.stack([order[~new], first[~new]], 1)


def _neighbors(bits: np.ndarray, key: np.ndarray, order: np.ndarray, step: int, distance: int) -> np.ndarray:
    """Return int64 (M, 2), similar rows of `bits` that stand `step` apart in `order` and have an equal sorted `key`."""
    same = np.flatnonzero(key[step:] == key[:-step])
    pairs = np.stack([order[same], order[same + step]], 1)
    return pairs[_distances(bits[pairs[:, 0]], bits[pairs[:, 1]]) <= distance]


def _paired(owners: np.ndarray) -> np.ndarray:
    """Return `owners`, int (M, 2), as distinct pairs (later, earlier), without those of one image with itself."""
    pairs = np.sort(owners[owners[:, 0] != owners[:, 1]], axis=1)[:, ::-1]
    return np.unique(pairs, axis=0)
