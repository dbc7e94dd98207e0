"""Which keys of a source stand there twice, with eight bytes of memory for each key."""

from __future__ import annotations

import hashlib
import os

import numpy as np


def hash64(key: str) -> int:
    """Return the first 64 bits of BLAKE2b of `key`; two of 62 million keys share them with a probability of 0.0001."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(key), digest_size=8).digest(), "big")


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
            distinct = np.union1d(self._levels.pop(), distinct)
        self._levels.append(distinct)
        return repeated
