"""Tiny data sets in their official layouts, one module per reader, written by other means than the readers' code.

A module has the name of its reader and a function `write(root) -> Layout`, which writes a few samples (and what is
wrong with some of them) below `root`. The contract tests find it by its name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ANY = object()
"""Stands for a target that is only checked for its type and shape."""


@dataclass(frozen=True)
class Layout:
    """What a reader must find in what `write` wrote.

    `targets`: for each key, float32 (H, W) with NaN = no label, None for "no target", or ANY. `refused`: for each key
    that must be refused, a part of the reason. `options` are those of the reader, as in params.yaml. `semantic`:
    for some keys, the class labels.
    """

    targets: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    kind: str | None = None
    refused: dict[str, str] = field(default_factory=dict)
    semantic: dict[str, np.ndarray] = field(default_factory=dict)


def layout(name: str, root: Path) -> Layout:
    """Write the layout of the reader `name` below `root`; fails when nobody has written one down."""
    return import_module(f"{__name__}.{name}").write(root)


def dotted(text: str) -> str:
    """Return the key of a path `text` that holds dots: each becomes _, and eight digits of its SHA-256 follow."""
    return f"{text.replace('.', '_')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def save_picture(path: Path, shape: tuple[int, int] = (24, 32), seed: int = 0) -> None:
    """Write a noise picture of `shape` (H, W); its folder is made. The format follows from the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)).save(path)


def save_values(path: Path, values: np.ndarray) -> None:
    """Write an integer array as a PNG (or whatever the name says) of its own bit depth; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def save_bytes(path: Path, data: bytes) -> None:
    """Write bytes; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def noise(shape: tuple[int, int] = (24, 32), low: float = 0.5, high: float = 80.0, seed: int = 0) -> np.ndarray:
    """Return float32 noise between `low` and `high`, for depth that is compared bit by bit."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)
