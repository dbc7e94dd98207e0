"""MegaDepth v1: internet photographs of landmarks with depth by structure from motion and multi-view stereo.

Every map is cleaned as its authors' loader does: the farthest 2 % and the nearest 1 % of its depths are dropped.
Ordinal maps, which only say what is nearer, hold no depth and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, matching, read_below, safe_key
from depth_model.reading.reader import Reader, always
from depth_model.shards.sample import Item, Sample

_FEWEST = 10
_NEAREST, _FARTHEST = 1, 98


@dataclass(frozen=True)
class Options:
    """None: all images below the root that have depth."""


def _items(root: Path, options: Options) -> Iterator[Item]:
    for image, (scene, number, name, _) in matching(root, "*/dense*/imgs/*.*"):
        key = safe_key(f"{scene}/dense{number}/{name}")
        yield Item(key, image, (image, f"{scene}/dense{number}/depths/{name}.h5"))


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth = item.paths
    stored = formats.per_pixel(decoded(root, depth, formats.hdf5, "depth"))
    if stored.size and np.nanmin(stored) < 0:
        raise BadInput(f"{depth}: an ordinal map (minimum {np.nanmin(stored):g}), which holds no depth")
    target = cleaned(formats.depth(stored))
    return Sample(item.key, read_below(root, image), target, "relative_depth", source_path=item.source_path)


def cleaned(depth: np.ndarray) -> np.ndarray:
    """Return `depth`, float32 (H, W), NaN = no label, without labels above its 98th and below its 1st percentile.

    Only with more than 10 labels, as in the authors' loader (docs/paper.md 3.2).
    """
    known = depth[np.isfinite(depth)]
    if known.size <= _FEWEST:
        return depth
    low, high = np.percentile(known, (_NEAREST, _FARTHEST))
    return np.where((depth < low) | (depth > high), np.float32(np.nan), depth)


READER = Reader(
    name="megadepth",
    options=Options,
    items=_items,
    load=_load,
    expected=always("*/dense*/imgs", "*/dense*/depths"),
    layout="""
        <scene, as 0000>/dense<k>/imgs/<name>.jpg
        <scene, as 0000>/dense<k>/depths/<name>.h5     (data set "depth")
    """,
    description="Landmarks from all over the world. The archive unpacks to phoenix/S6/zl548/MegaDepth_v1, the root.",
    unit="float HDF5, a scale per reconstruction",
    invalid="0; the nearest 1 % and farthest 2 % are dropped; ordinal maps (minimum -1) are refused",
    license="CC BY 4.0 for the data set; the photographs under their own",
    images="about 128,000",
    where="https://www.cs.cornell.edu/projects/megadepth (MegaDepth v1 Dataset)",
    paper="labeled, 128K (table 1)",
)
