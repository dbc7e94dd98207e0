"""DA-2K: a pair of points per picture, of which the nearer is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout

KIND = "synthetic"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    name = f"images/{KIND}/rendered_{number:05d}.jpg"
    files.write_bytes(root / name, sample.image)
    known = np.where(np.isfinite(sample.target), sample.target, np.nan)
    near, far = (np.unravel_index(int(find(known)), known.shape) for find in (np.nanargmin, np.nanargmax))
    pair = {"point1": list(map(int, near)), "point2": list(map(int, far)), "closer_point": "point1"}
    files.write_json(root / "pairs" / f"{number:05d}.json", {name: [pair]})


def _finish(root: Path, samples: Mapping[str, list[Sample]]) -> None:
    annotations = {}
    for path in sorted((root / "pairs").glob("*.json")):
        annotations |= json.loads(path.read_text("utf-8"))
        path.unlink()
    (root / "pairs").rmdir()
    files.write_json(root / "annotations.json", annotations)


LAYOUT = Layout("da2k", ("all",), _write, _finish)
