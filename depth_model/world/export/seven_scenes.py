"""7-Scenes: sequences of frames with depth in millimeters, and the files that say which sequences are for what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, integers, pixels, write_png

SCENE = "rendered"
SEQUENCES = {"train": 1, "test": 2}


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    folder, name = root / SCENE / f"seq-{SEQUENCES[split]:02d}", f"frame-{number:06d}"
    write_png(folder / f"{name}.color.png", pixels(sample))
    write_png(folder / f"{name}.depth.png", integers(sample.target, 1000))
    files.write_text(folder / f"{name}.pose.txt", "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")


def _finish(root: Path, samples: Mapping[str, list[Sample]]) -> None:
    for split, sequence in SEQUENCES.items():
        files.write_text(root / SCENE / f"{split.capitalize()}Split.txt", f"sequence{sequence}\n")


LAYOUT = Layout("seven_scenes", tuple(SEQUENCES), _write, _finish)
