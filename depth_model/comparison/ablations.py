"""Where the figures of ablations are kept, a line of JSON for each experiment, and how several seeds make one cell."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path("results/ablations.jsonl")


def read_results(path: Path = RESULTS) -> list[dict[str, Any]]:
    """Return every line of the results file, oldest first; none when there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def spread(values: Sequence[float]) -> str:
    """Return the mean of `values`, with their sample deviation when there are several, or that they are missing."""
    if not values:
        return "missing"
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"
