"""NYU Depth V2 as folders of synchronized frames, with the list files of the released code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, integers, write_png

FOCAL_LENGTH = 518.8579


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    folder = root / split / _scene(split)
    files.write_bytes(folder / f"rgb_{number:05d}.jpg", sample.image)
    write_png(folder / f"sync_depth_{number:05d}.png", integers(sample.target, 1000))


def _scene(split: str) -> str:
    # Scenes of the data set lie in one split only, and list files find them by name.
    return f"rendered_{split}"


def _finish(root: Path, samples: Mapping[str, list[Sample]]) -> None:
    for split, written in samples.items():
        scene = f"/{split}/{_scene(split)}"
        names = [(f"rgb_{n:05d}.jpg", f"sync_depth_{n:05d}.png") for n in range(len(written))]
        lines = [f"{scene}/{image} {scene}/{depth} {FOCAL_LENGTH}\n" for image, depth in names]
        files.write_text(root / f"nyudepthv2_{split}_files_with_gt.txt", "".join(lines))


LAYOUT = Layout("nyu", ("train", "test"), _write, _finish)
