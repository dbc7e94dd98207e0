"""Open Images V7, unpacked: one folder of pictures."""

from __future__ import annotations

from pathlib import Path

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    files.write_bytes(root / "train" / f"{number:016x}.jpg", sample.image)


LAYOUT = Layout("open_images", ("all",), _write)
