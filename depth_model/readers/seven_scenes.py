"""7-Scenes: hand-held Kinect recordings of seven rooms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from depth_model.reading import formats
from depth_model.reading.inputs import decoded, paths_below, read_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample

_COLOR = re.compile(r"((?:.*/)?frame-\d+)\.color\.(?:png|jpg)")
_SEQUENCE = re.compile(r"sequence(\d+)")

# Of the depth camera, to which the files belong; as the authors give it.
_INTRINSICS = (585.0, 585.0, 320.0, 240.0)


@dataclass(frozen=True)
class Options:
    """`split`: all frames, or those of the sequences in TrainSplit.txt or TestSplit.txt of each scene."""

    split: Literal["all", "train", "test"] = "all"


def _expected(options: Options) -> tuple[str, ...]:
    if options.split != "all":
        return (f"*/{options.split.title()}Split.txt", "*/seq-*/frame-*.color.*", "*/seq-*/frame-*.depth.png")
    folders = ("", "*/", "*/*/")
    return tuple(" | ".join(f"{one}frame-*.{kind}" for one in folders) for kind in ("color.*", "depth.png"))


def _items(root: Path, options: Options) -> Iterator[Item]:
    scene, sequences = None, set()
    for color in paths_below(root):
        if not (found := _COLOR.fullmatch(color)):
            continue
        sequence = PurePosixPath(color).parent
        if options.split != "all":
            if sequence.parent != scene:
                scene, sequences = sequence.parent, _sequences(root, sequence.parent, options.split)
            if sequence.name not in sequences:
                continue
        yield Item(safe_key(found[1]), color, (color, f"{found[1]}.depth.png"))


def _sequences(root: Path, scene: PurePosixPath, split: str) -> set[str]:
    """Return the folders that a split names: "sequence3" is the folder seq-03."""
    text = decoded(root, f"{scene}/{split.title()}Split.txt", lambda data: data.decode("ascii", "replace"))
    return {f"seq-{int(number):02d}" for number in _SEQUENCE.findall(text)}


def _load(root: Path, item: Item, options: Options) -> Sample:
    color, depth = item.paths
    target = formats.depth(decoded(root, depth, formats.picture), 1000, (0, 65535))
    return Sample(item.key, read_below(root, color), target, "metric_depth", None, _INTRINSICS, item.source_path)


READER = Reader(
    name="seven_scenes",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    layout="""
        <scene>/TrainSplit.txt, TestSplit.txt
        <scene>/seq-01/frame-000000.color.png     (or .color.jpg; folders of frames alone are read too)
        <scene>/seq-01/frame-000000.depth.png
    """,
    description="Seven rooms, 640 x 480 pixels. Color and depth are not registered exactly: a few pixels lie apart.",
    unit="16-bit PNG, millimeters",
    invalid="0 and 65535",
    license="Microsoft Research license, non-commercial",
    images="43,000",
    where="https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes (unpack the seq-*.zip inside too)",
    paper="not in the paper",
)
