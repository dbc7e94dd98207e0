"""KITTI: raw drives, annotated depth, calibration, and the Eigen-style list files of the released code.

The rendered world has a camera per picture and KITTI one per day, so that every picture gets a day of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, integers, pixels, write_png

FIRST_DAY = {"train": date(2011, 9, 26), "val": date(2061, 9, 26)}
FRAME = "image_02/data/0000000000.png"


def _drive(number: int, split: str) -> tuple[str, str]:
    day = (FIRST_DAY[split] + timedelta(days=number)).strftime("%Y_%m_%d")
    return day, f"{day}_drive_0001_sync"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    day, drive = _drive(number, split)
    fx, fy, cx, cy = sample.intrinsics
    projection = " ".join(f"{value:.12e}" for value in (fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0))
    files.write_text(root / day / "calib_cam_to_cam.txt", f"P_rect_02: {projection}\n")
    write_png(root / day / drive / FRAME, pixels(sample))
    depth = root / "data_depth_annotated" / split / drive / "proj_depth/groundtruth/image_02/0000000000.png"
    write_png(depth, integers(sample.target, 256))


def _finish(root: Path, samples: Mapping[str, list[Sample]]) -> None:
    for split, name in (("train", "train"), ("val", "test")):
        lines = []
        for number, sample in enumerate(samples.get(split, [])):
            day, drive = _drive(number, split)
            depth = f"{drive}/proj_depth/groundtruth/image_02/0000000000.png"
            lines.append(f"{day}/{drive}/{FRAME} {depth} {sample.intrinsics[0]:.4f}\n")
        files.write_text(root / f"kitti_eigen_{name}_files_with_gt.txt", "".join(lines))


LAYOUT = Layout("kitti", ("train", "val"), _write, _finish)
