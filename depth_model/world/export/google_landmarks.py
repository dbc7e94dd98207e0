"""Google Landmarks v2, unpacked: pictures in three levels of folders named after their first digits."""

from __future__ import annotations

from pathlib import Path

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    name = f"{number:016x}"
    files.write_bytes(root / "train" / name[0] / name[1] / name[2] / f"{name}.jpg", sample.image)


LAYOUT = Layout("google_landmarks", ("all",), _write)
