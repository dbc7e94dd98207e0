"""ImageNet-21K, unpacked: a folder of pictures per class."""

from __future__ import annotations

from pathlib import Path

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    files.write_bytes(root / "n00004475" / f"n00004475_{number}.JPEG", sample.image)


LAYOUT = Layout("imagenet21k", ("all",), _write)
