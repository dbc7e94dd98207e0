"""Places365, unpacked: a folder of pictures per category."""

from __future__ import annotations

from pathlib import Path

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    files.write_bytes(root / "data_large" / "a" / "abbey" / f"{number + 1:08d}.jpg", sample.image)


LAYOUT = Layout("places365", ("all",), _write)
