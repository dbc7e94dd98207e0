"""Seconds and memory of the two searches of the audit, on random fingerprints.

    python benchmarks/similarity.py [--images 1000000] [--evaluation 1000]

Both grow as the number of images; the search for leaks also as the number of evaluation images (330 windows of each
per stored fingerprint).
"""

from __future__ import annotations

import argparse
import resource
import time

import measuring
import numpy as np

from depth_model.audit.similarity import FARTHEST_PAIR, FARTHEST_WINDOW, WindowIndex, similar_pairs

WINDOWS, AT_ONCE = 330, 65536


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--evaluation", type=int, default=1000)
    given = parser.parse_args()
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2**64, (given.images, 2, 2), np.uint64)
    started = time.monotonic()
    similar_pairs(bits[:, 0], FARTHEST_PAIR)
    rows = [["duplicates inside", f"{time.monotonic() - started:.0f}"]]
    started = time.monotonic()
    for stored in range(2):
        known = generator.integers(0, 2**64, (given.evaluation * WINDOWS, 2), np.uint64)
        index = WindowIndex(known, FARTHEST_WINDOW)
        for start in range(0, len(bits), AT_ONCE):
            index.lookup(bits[start : start + AT_ONCE, stored])
    rows.append([f"leaks against {given.evaluation} evaluation images", f"{time.monotonic() - started:.0f}"])
    print(measuring.table([f"{given.images} images", "seconds"], rows))
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB, libraries included")


if __name__ == "__main__":
    main()
