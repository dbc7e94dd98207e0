"""Pictures of a procedurally built world with exact depth: data for a demo and for tests, made on the spot.

Depth is planar, in meters, exact for every pixel, NaN for sky; classes are those of ADE20K, 0-based.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample
from depth_model.world import DOMAINS, encoded, generator_version, labels, render_sample


@dataclass(frozen=True)
class Options:
    """Which pictures: `count` of the `domain`, drawn from `seed`, of `height` x `width` pixels."""

    domain: str
    count: int
    seed: int = 0
    height: int = 192
    width: int = 256

    def __post_init__(self) -> None:
        if self.domain not in DOMAINS:
            raise ValueError(f"domain = {self.domain!r}: unknown (allowed: {', '.join(DOMAINS)})")
        for name, least in (("count", 0), ("seed", 0), ("height", 32), ("width", 32)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)}: must be at least {least}")


def _items(root: Path, options: Options) -> Iterator[Item]:
    for index in range(options.count):
        key = f"{options.domain}-{options.seed}-{index:06d}"
        yield Item(key, key)


def _load(root: Path, item: Item, options: Options) -> Sample:
    index = int(item.key.rsplit("-", 1)[1])
    picture = render_sample(options.domain, options.seed, index, options.height, options.width)
    intrinsics = picture.camera.intrinsics(options.height, options.width)
    return Sample(
        item.key, encoded(picture.image), picture.depth, "metric_depth", picture.semantic, intrinsics, item.source_path
    )


def _watch(root: Path, options: Options) -> Iterator[dict[str, Any]]:
    # No files to look at: the pictures change when the options or the code that draws them change.
    yield {"options": asdict(options), "generator": generator_version(options.domain)}


READER = Reader(
    name="rendered_world",
    options=Options,
    items=_items,
    load=_load,
    watch=_watch,
    sky_label=labels.SKY,
    needs_root=False,
    layout="none: nothing is read from disk",
    description=f"A procedurally built world of {len(DOMAINS)} domains: {', '.join(DOMAINS)}.",
    unit="meters",
    invalid="none; sky has no depth",
    license="that of this project",
    images="any number",
    where="drawn on the spot",
    paper="not in the paper: stands for its data sets in the demo and in tests",
)
