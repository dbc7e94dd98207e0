"""Objects365, unpacked: pictures in patches."""

from __future__ import annotations

from pathlib import Path

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    files.write_bytes(root / "train" / "patch0" / f"objects365_v1_{number:08d}.jpg", sample.image)


LAYOUT = Layout("objects365", ("all",), _write)
