"""Time and memory of listing a tree of the size of SA-1B: 1000 tar files of 11,000 pictures each.

One tar is written and linked under a thousand names, so that the tree needs little disk; the headers read are as many
as those of the pictures of SA-1B, and come from the cache of the system. Run: python -m benchmarks.listing
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tarfile
import tempfile
import time
from pathlib import Path

from depth_model import readers


def write_tree(root: Path, archives: int, members: int) -> None:
    """Write one tar of `members` tiny pictures and link it as sa_000000.tar and so on, `archives` times."""
    first = root / "sa_000000.tar"
    with tarfile.open(first, "w") as archive:
        for number in range(members):
            entry = tarfile.TarInfo(f"./sa_{number}.jpg")
            entry.size = 4
            archive.addfile(entry, io.BytesIO(b"jpeg"))
    for number in range(1, archives):
        os.link(first, root / f"sa_{number:06d}.tar")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print items, seconds and the peak of memory before and after listing."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--archives", type=int, default=1000)
    arguments.add_argument("--members", type=int, default=11_000)
    given = arguments.parse_args()
    reader = readers.get("sa1b")
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder), given.archives, given.members)
        before, start = _peak(), time.perf_counter()
        count = sum(1 for _ in reader.items(Path(folder), reader.options()))
        seconds = time.perf_counter() - start
    print(f"{count} items in {seconds:.1f} s ({1e6 * seconds / count:.1f} us each)")
    print(f"peak of memory: {before:.1f} MB before, {_peak():.1f} MB after")


if __name__ == "__main__":
    main()
