"""Seconds that the gate takes for the manifests of a million labeled samples.

    python benchmarks/validation.py [--rows 1000000]

The import of Great Expectations is measured apart. The first row alone is wrong, so that a failure is reported too.
"""

from __future__ import annotations

import argparse
import time

import measuring
import numpy as np
import pandas as pd

from tasks.gate.checks import faults
from tasks.gate.suites import SAMPLE_SUITES


def manifests(rows: int) -> pd.DataFrame:
    """Return what the suite of the labeled role reads of `rows` samples of two sources; the first has no height."""
    generator = np.random.default_rng(0)
    low = generator.random(rows, np.float32)
    table = pd.DataFrame(
        {
            "key": [f"scene/{number:08d}" for number in range(rows)],
            "height": generator.integers(240, 1024, rows, np.int32),
            "width": generator.integers(320, 1024, rows, np.int32),
            "image_size": generator.integers(10_000, 300_000, rows),
            "target_kind": pd.Categorical(generator.choice(["metric_depth", "disparity"], rows)),
            "codec": pd.Categorical(["float32"] * rows),
            "minimum": low,
            "maximum": low + 1,
            "valid_fraction": generator.uniform(0.1, 1, rows).astype(np.float32),
            "source": generator.choice(["one", "two"], rows),
            "stood_before": False,
        }
    )
    table.loc[0, "height"] = 0
    return table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    table = manifests(parser.parse_args().rows)
    suite = SAMPLE_SUITES["labeled"]
    rows = []
    for what, frame in (("import, 1000 rows", table[:1000]), (f"{len(table)} rows", table)):
        started = time.monotonic()
        found = faults([frame], suite, ["source", "key"])
        rows.append([what, f"{time.monotonic() - started:.1f}", len(suite), len(found)])
    print(measuring.table(["what", "seconds", "expectations", "failed"], rows))


if __name__ == "__main__":
    main()
