"""BlendedMVS: a project with rendered depth as PFM and its camera files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, pfm

PROJECT = "5b6eff8b67b396324c5b2672"
LIST = "BlendedMVG_training.txt"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    folder, name = root / PROJECT, f"{number:08d}"
    files.write_bytes(folder / "blended_images" / f"{name}.jpg", sample.image)
    depth = np.nan_to_num(sample.target, nan=0.0)
    files.write_bytes(folder / "rendered_depth_maps" / f"{name}.pfm", pfm(depth))
    files.write_text(folder / "cams" / f"{name}_cam.txt", _camera(sample))


def _camera(sample: Sample) -> str:
    fx, fy, cx, cy = sample.intrinsics
    known = sample.target[np.isfinite(sample.target)]
    near, far = float(known.min()), float(known.max())
    pose = "extrinsic\n1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"
    return f"{pose}\nintrinsic\n{fx} 0 {cx}\n0 {fy} {cy}\n0 0 1\n\n{near} {(far - near) / 127} 128 {far}\n"


def _finish(root: Path, samples: Mapping[str, list[Sample]]) -> None:
    files.write_text(root / LIST, f"{PROJECT}\n")


LAYOUT = Layout("blendedmvs", ("all",), _write, _finish)
