"""A sample: an image with whatever is known about it. What is stored of it, and where, is the business of `shards`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from depth_model.errors import BadInput

TARGET_KINDS = ("metric_depth", "relative_depth", "disparity", "affine_disparity")
"""Meters; depth of unknown scale (SfM, MVS); pixels or 1/m; disparity of unknown scale and shift."""

_KEY = re.compile(r"[A-Za-z0-9_./-]+")


def check_key(key: str) -> str:
    """Return `key` if it is safe as a member name of a shard.

    Allowed are letters, digits and `_ . / -`, no empty, `.` or `..` component and no leading slash.
    Raises BadInput otherwise.
    """
    if not _KEY.fullmatch(key) or any(part in ("", ".", "..") for part in key.split("/")):
        raise BadInput(f"key {key!r} may only hold letters, digits and _ . / - and no '..' component")
    return key


class Item(NamedTuple):
    """One sample that a reader has listed but not opened: its key and its files relative to the root.

    `fault` says why it cannot be read, where that is known already.
    """

    key: str
    source_path: str
    paths: tuple[str, ...] = ()
    fault: str = ""


Intrinsics = tuple[float, float, float, float]
"""(fx, fy, cx, cy) in pixels; pixel centers lie at whole numbers."""


def resized_intrinsics(intrinsics: Intrinsics, size: tuple[int, ...], other: tuple[int, ...]) -> Intrinsics:
    """Return the intrinsics of a picture of `size` (height, width) once it is resized to `other`."""
    fx, fy, cx, cy = intrinsics
    down, across = (after / before for before, after in zip(size, other))
    return fx * across, fy * down, (cx + 0.5) * across - 0.5, (cy + 0.5) * down - 0.5


@dataclass(frozen=True)
class Sample:
    """One image with whatever is known about it.

    `image` holds the encoded bytes as found. `target` is float32 (H, W), planar depth or disparity by
    `target_kind` (one of TARGET_KINDS), NaN where there is no label. `semantic` is an integer array (H, W),
    255 = ignore. `intrinsics` are (fx, fy, cx, cy) in pixels. `source_path` is relative to the root.
    """

    key: str
    image: bytes
    target: np.ndarray | None = None
    target_kind: str | None = None
    semantic: np.ndarray | None = None
    intrinsics: Intrinsics | None = None
    source_path: str = ""
