"""ICL-NUIM in the form compatible with TUM RGB-D: numbered frames, planar depth, 5000 a meter."""

from __future__ import annotations

from pathlib import Path

from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, integers, pixels, write_png

TRAJECTORY = "living_room_traj0_frei_png"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    write_png(root / TRAJECTORY / "rgb" / f"{number}.png", pixels(sample))
    write_png(root / TRAJECTORY / "depth" / f"{number}.png", integers(sample.target, 5000))


LAYOUT = Layout("icl_nuim", ("all",), _write)
