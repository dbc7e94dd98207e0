"""Which keys of a source stand there twice, with eight bytes of memory for each key."""

from __future__ import annotations

import hashlib

import numpy as np


def hash64(key: str) -> int:
    """Return the first 64 bits of BLAKE2b of `key`; two of 62 million keys share them with a probability of 0.0001."""
    text = key.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


class SeenKeys:
    """The hashes of all keys so far, in sorted arrays of doubling length."""

    def __init__(self) -> None:
        self._levels: list[np.ndarray] = []

    def repeated(self, hashes: np.ndarray) -> np.ndarray:
        """Return bool (n,) for the `hash64` of n keys, uint64: whether it stood before, here or in an earlier call."""
        distinct, first = np.unique(hashes, return_index=True)
        repeated = np.ones(len(hashes), bool)
        repeated[first] = False
        for level in self._levels:
            places = np.minimum(np.searchsorted(level, hashes), len(level) - 1)
            repeated |= level[places] == hashes
        while self._levels and len(self._levels[-1]) <= len(distinct):
            # Sorting two sorted runs merges them: np.union1d makes a hash table instead, ten times as slow.
            distinct = np.sort(np.concatenate([self._levels.pop(), distinct]), kind="stable")
        self._levels.append(distinct)
        return repeated
