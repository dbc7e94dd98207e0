"""The rendered world written to disk in the official layouts of real data sets, one file per layout.

So that every reader, protocol and fine-tuning can run from end to end without a download. Adding a layout is adding a
file here with a `LAYOUT`, or a line of `PICTURES` for a set that is nothing but pictures. Pictures and depth are the
rendered world's; only the form is that of the data set.
"""

from __future__ import annotations

import io
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from depth_model import files
from depth_model.reading.engines import ordered
from depth_model.shards.sample import Item, Sample


@dataclass(frozen=True)
class Layout:
    """`write(root, sample, number, split)` writes sample `number` (from 0, within its split) of `split`, one of
    `splits`, training first; `finish(root, samples)` writes list files, given the exported samples of each split
    without their pictures."""

    name: str
    splits: tuple[str, ...]
    write: Callable[[Path, Sample, int, str], None]
    finish: Callable[[Path, Mapping[str, list[Sample]]], None] | None = None


PICTURES: dict[str, Callable[[int], str]] = {
    "google_landmarks": lambda number: "train/{0[0]}/{0[1]}/{0[2]}/{0}.jpg".format(f"{number:016x}"),
    "imagenet21k": lambda number: f"n00004475/n00004475_{number}.JPEG",
    "objects365": lambda number: f"train/patch0/objects365_v1_{number:08d}.jpg",
    "open_images": lambda number: f"train/{number:016x}.jpg",
    "places365": lambda number: f"data_large/a/abbey/{number + 1:08d}.jpg",
}
"""Unlabeled data sets, unpacked: where below the root picture `number` stands."""


def _write_picture(path_of: Callable[[int], str], root: Path, sample: Sample, number: int, split: str) -> None:
    files.write_bytes(root / path_of(number), sample.image)


def names() -> list[str]:
    """Return the names of all layouts, sorted."""
    return sorted([*PICTURES, *(module.name for module in pkgutil.iter_modules(__path__))])


def get(name: str) -> Layout:
    """Return the layout `name`; raises KeyError that lists the names there are."""
    if name not in names():
        raise KeyError(f"no layout {name!r}; there are: {', '.join(names())}")
    if name in PICTURES:
        return Layout(name, ("all",), partial(_write_picture, PICTURES[name]))
    return import_module(f"{__name__}.{name}").LAYOUT


def export_world(
    layout: Layout,
    domain: str,
    counts: Mapping[str, int],
    seed: int,
    size: tuple[int, int],
    root: Path,
    progress: Callable[[], None],
    workers: int = 1,
) -> None:
    """Write `counts[split]` pictures of `domain` for every split to `root`, all different; `progress()` after each.

    `size` is (height, width) in pixels; `workers` processes draw. The same arguments give the same bytes, and each
    file appears whole or not at all. Raises ValueError for a split that `layout` does not have and for an unknown
    domain.
    """
    from depth_model.readers.rendered_world import READER

    unknown = [split for split in counts if split not in layout.splits]
    if unknown:
        raise ValueError(f"layout {layout.name} has no split {unknown[0]!r}; it has {', '.join(layout.splits)}")
    options = READER.options(domain=domain, count=sum(counts.values()), seed=seed, height=size[0], width=size[1])
    places = [(split, number) for split, count in counts.items() for number in range(count)]
    pictures = list(zip(READER.items(Path(), options), places, strict=True))
    written: dict[str, list[Sample]] = {split: [] for split in counts}
    drawn = ordered(_write_item, pictures, (layout.name, root, options), "local", min(workers, len(pictures) or 1))
    for (split, _), sample in zip(places, drawn, strict=True):
        written[split].append(sample)
        progress()
    if layout.finish is not None:
        layout.finish(root, written)


def _write_item(picture: tuple[Item, tuple[str, int]], given: tuple[str, Path, Any]) -> Sample:
    """Write one picture and return it without its pixels."""
    from depth_model.readers.rendered_world import READER

    (item, (split, number)), (layout, root, options) = picture, given
    sample = READER.load(root, item, options)
    get(layout).write(root, sample, number, split)
    return Sample(sample.key, b"", intrinsics=sample.intrinsics)


def write_png(path: Path, values: np.ndarray) -> None:
    """Write `values`, uint8 or uint16, as the PNG `path`, atomically."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    files.write_bytes(path, buffer.getvalue())


def write_npy(path: Path, values: np.ndarray) -> None:
    """Write `values` as the NumPy file `path`, atomically."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    files.write_bytes(path, buffer.getvalue())


def pfm(values: np.ndarray) -> bytes:
    """Return `values`, float32 (H, W), as a little-endian PFM, whose rows run from the bottom."""
    header = f"Pf\n{values.shape[1]} {values.shape[0]}\n-1.0\n"
    return header.encode("ascii") + np.ascontiguousarray(values[::-1]).astype("<f4").tobytes()


def pixels(sample: Sample) -> np.ndarray:
    """Return the image of `sample`, uint8 (H, W, 3)."""
    from depth_model.shards.images import decode_rgb  # parameters are checked without OpenCV

    return decode_rgb(sample.image)


def integers(depth: np.ndarray, scale: float) -> np.ndarray:
    """Return `depth` in meters as uint16 (H, W) in steps of 1/`scale` m; 0 where there is none or it does not fit."""
    steps = np.rint(np.nan_to_num(depth, nan=0.0) * scale)
    return np.where(steps <= np.iinfo(np.uint16).max, steps, 0).astype(np.uint16)
