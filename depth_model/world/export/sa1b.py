"""SA-1B, unpacked: pictures beside their (here empty) masks."""

from __future__ import annotations

from pathlib import Path

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    folder = root / "sa_000000"
    files.write_bytes(folder / f"sa_{number + 1}.jpg", sample.image)
    files.write_json(folder / f"sa_{number + 1}.json", {"annotations": []})


LAYOUT = Layout("sa1b", ("all",), _write)
