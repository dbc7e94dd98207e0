"""Keys seen before, against a set of them."""

from __future__ import annotations

import numpy as np

from depth_model.shards.seen_keys import SeenKeys, hash64


def test_seen_keys_agree_with_a_set():
    generator = np.random.default_rng(0)
    seen, truth = SeenKeys(), set()
    for _ in range(200):
        keys = [str(key) for key in generator.integers(0, 3000, generator.integers(1, 30))]
        expected = []
        for key in keys:
            expected.append(key in truth)
            truth.add(key)
        assert seen.repeated(np.array([hash64(key) for key in keys], np.uint64)).tolist() == expected
