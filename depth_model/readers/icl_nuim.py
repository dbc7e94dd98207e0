"""ICL-NUIM: a rendered living room and office, in the release that is compatible with TUM RGB-D."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from depth_model.reading import formats
from depth_model.reading.inputs import decoded, matching, read_below, safe_key
from depth_model.reading.reader import Reader, always
from depth_model.shards.sample import Item, Sample

# The authors write fy = -480: their y axis points up. Files lie upright, so that here it is 480.
_INTRINSICS = (481.2, 480.0, 319.5, 239.5)


@dataclass(frozen=True)
class Options:
    """None: every trajectory below the root."""


def _items(root: Path, options: Options) -> Iterator[Item]:
    for color, (trajectory, number) in matching(root, "*/rgb/*.png"):
        yield Item(safe_key(f"{trajectory}/{number}"), color, (color, f"{trajectory}/depth/{number}.png"))


def _load(root: Path, item: Item, options: Options) -> Sample:
    color, depth = item.paths
    target = formats.depth(decoded(root, depth, formats.picture), 5000)
    return Sample(item.key, read_below(root, color), target, "metric_depth", None, _INTRINSICS, item.source_path)


READER = Reader(
    name="icl_nuim",
    options=Options,
    items=_items,
    load=_load,
    expected=always("*/rgb", "*/depth"),
    layout="""
        living_room_traj0_frei_png/rgb/0.png
        living_room_traj0_frei_png/depth/0.png
    """,
    description="Eight rendered trajectories, with or without the noise of a Kinect; 640 x 480 pixels.",
    unit="16-bit PNG, 5000 a meter, planar",
    invalid="0",
    license="CC BY 3.0",
    images="about 9,000",
    where="https://www.doc.ic.ac.uk/~ahanda/VaFRIC/iclnuim.html (TUM RGB-D compatible PNGs)",
    paper="not in the paper",
)
