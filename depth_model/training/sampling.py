"""Which samples a training step sees: a pure function of (seed, step, sizes).

Each epoch is a pseudo-random permutation of all samples. It is never written out: a keyed Feistel network
computes any part of it in constant memory, so that 62 million samples cost no more than 62 and resuming needs
a step number and nothing else. Does not read, weight or balance anything: sources are concatenated (paper 3.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_ROUNDS = 8
_MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class Share:
    """Part `index` (from 0) of `of` nearly equal parts of a global batch: what one process takes at one go."""

    index: int
    of: int

    def rows(self, count: int) -> range:
        """Return the places, of `count` in the global batch, that belong to this share; may be empty."""
        return range(self.index * count // self.of, (self.index + 1) * count // self.of)


WHOLE = Share(0, 1)


def stage_seed(seed: int, stage: str) -> int:
    """Return the seed, below 2^32, that `stage` draws from: another one for each name and each `seed`."""
    return int(np.random.SeedSequence([seed, *stage.encode()]).generate_state(1)[0])


def epoch_positions(seed: tuple[int, ...], epoch: int, positions: np.ndarray, length: int) -> np.ndarray:
    """Return int64 (n,): the samples that stand at `positions`, int (n,) below `length`, of epoch `epoch`.

    Over all positions an epoch is a permutation of 0 ... length - 1; another `seed` or epoch gives another one.
    """
    half = np.uint64(max(1, math.ceil(math.log2(max(2, length)) / 2)))
    keys = np.random.SeedSequence([*seed, epoch]).generate_state(_ROUNDS, np.uint64)
    values = _permuted(np.asarray(positions, np.uint64), half, keys)
    outside = values >= length
    while outside.any():  # cycle walking: the network permutes the next power of four
        values[outside] = _permuted(values[outside], half, keys)
        outside = values >= length
    return values.astype(np.int64)


def batch_indices(seed: tuple[int, ...], step: int, batch: int, length: int) -> np.ndarray:
    """Return int64 (batch,): the samples of batch `step` (from 0) out of `length` samples.

    Batches run through epoch after epoch without a gap: the one at a border holds the end of an epoch and the
    beginning of the next. Raises ValueError when there are no samples.
    """
    if length < 1:
        raise ValueError("there are no samples to draw a batch from")
    position = step * batch + np.arange(batch, dtype=np.int64)
    epochs, places = np.divmod(position, length)
    parts = [epoch_positions(seed, int(epoch), places[epochs == epoch], length) for epoch in np.unique(epochs)]
    return np.concatenate(parts)


def steps_of(passes: float, length: int, batch: int) -> int:
    """Return the number of batches in which `length` samples are seen `passes` times."""
    return math.ceil(passes * length / batch)


def _permuted(values: np.ndarray, half: np.uint64, keys: np.ndarray) -> np.ndarray:
    """Permute 0 ... 4^half - 1 by a balanced Feistel network with one round per key."""
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    return (left << half) | right


def _mixed(values: np.ndarray) -> np.ndarray:
    # The finalizer of splitmix64: every bit of the input reaches the low bits that are kept.
    values = (values ^ (values >> np.uint64(30))) * _MIXERS[0]
    values = (values ^ (values >> np.uint64(27))) * _MIXERS[1]
    return values ^ (values >> np.uint64(31))
