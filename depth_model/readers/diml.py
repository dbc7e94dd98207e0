"""DIML/CVL RGB-D: indoors by Kinect v2, outdoors by a stereo camera with a confidence for every pixel.

Two releases with different names: the full set, and the small "sample" that others evaluate on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, matching, read_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample

_IMAGES = {
    "indoor": "*/*/*/col/*_c.png",
    "outdoor": "*/*/left/*_left.png",
    "sample_indoor": "{resolution}/*/color/*_c.png",
    "sample_outdoor": "{resolution}/outleft/*.png",
}


@dataclass(frozen=True)
class Options:
    """Which release and part lies at the root.

    `part`: indoor, outdoor, sample_indoor or sample_outdoor. `depth`: the indoor maps to read, filled up (up_png),
    warped (warp_png) or as measured (raw_png). `confidence`: outdoors, pixels below it (0 to 1) have no label; the
    authors' report advises 0.9. `resolution`: of the sample.
    """

    part: Literal["indoor", "outdoor", "sample_indoor", "sample_outdoor"]
    depth: Literal["up_png", "warp_png", "raw_png"] = "up_png"
    confidence: float = 0.9
    resolution: Literal["HR", "LR"] = "HR"

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence = {self.confidence}: must be 0 to 1")


def _expected(options: Options) -> tuple[str, ...]:
    return {
        "indoor": ("*/*/*/col", f"*/*/*/{options.depth}"),
        "outdoor": ("*/*/left", "*/*/depth", "*/*/conf"),
        "sample_indoor": (f"{options.resolution}/*/color", f"{options.resolution}/*/depth_filled"),
        "sample_outdoor": (f"{options.resolution}/outleft", f"{options.resolution}/depthmap"),
    }[options.part]


def _items(root: Path, options: Options) -> Iterator[Item]:
    pattern = _IMAGES[options.part].replace("{resolution}", options.resolution)
    folder, partners = "", {}
    for image, wildcards in matching(root, pattern):
        parent, number = image.rsplit("/", 2)[0], wildcards[-1]
        if parent != folder:
            folder, partners = parent, _indoor_depth(root, parent, options)
        key = "/".join((options.resolution, *wildcards) if "sample" in options.part else wildcards)
        yield Item(safe_key(key), image, (image, *_labels(parent, number, partners, options)))


def _indoor_depth(root: Path, folder: str, options: Options) -> dict[str, str]:
    """Return number -> depth file of one batch: what follows the number differs from batch to batch."""
    if options.part != "indoor":
        return {}
    return {number: path for path, (number, _) in matching(root, f"{folder}/{options.depth}/*_*.png")}


def _labels(folder: str, number: str, partners: dict[str, str], options: Options) -> tuple[str, ...]:
    if options.part == "indoor":
        return (partners.get(number, f"{folder}/{options.depth}/{number}_*.png"),)
    if options.part == "outdoor":
        return f"{folder}/depth/{number}_depth.png", f"{folder}/conf/{number}_conf.png"
    if options.part == "sample_indoor":
        return (f"{folder}/depth_filled/{number}_depth_filled.png",)
    return (f"{folder}/depthmap/{number}.png",)


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth, *confidence = item.paths
    target = formats.depth(decoded(root, depth, formats.picture), 1000)
    for path in confidence:
        certain = formats.per_pixel(decoded(root, path, formats.picture)) / 255 >= options.confidence
        if certain.shape != target.shape:
            raise BadInput(f"{path}: confidence of shape {certain.shape}, but the depth map has {target.shape}")
        target[~certain] = np.nan
    return Sample(item.key, read_below(root, image), target, "metric_depth", source_path=item.source_path)


READER = Reader(
    name="diml",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    layout="""
        part: indoor
          <class, as "16. Billiard Hall">/<date>/<batch>/col/<number>_c.png
          <class>/<date>/<batch>/up_png/<number>_<any>.png     (or warp_png, raw_png)
        part: outdoor
          <day and camera, as 170721_C0>/<batch>/left/<number>_left.png
          <day and camera>/<batch>/depth/<number>_depth.png
          <day and camera>/<batch>/conf/<number>_conf.png
        part: sample_indoor
          {HR,LR}/<scene>/color/<number>_c.png
          {HR,LR}/<scene>/depth_filled/<number>_depth_filled.png
        part: sample_outdoor
          {HR,LR}/outleft/<number>.png
          {HR,LR}/depthmap/<number>.png
    """,
    description="Rooms by Kinect v2 (1344 x 756) and streets by ZED stereo (1920 x 1080); name both as two sources.",
    unit="16-bit PNG, millimeters; confidence 8-bit, / 255",
    invalid="0; outdoors also a confidence below the option",
    license="for research; see the site of the authors",
    images="about 2 million in all; outdoor training 322K",
    where="https://dimlrgbd.github.io (some outdoor archives are .egg files)",
    paper="labeled, 927K (table 1); how they were selected is not published",
)
