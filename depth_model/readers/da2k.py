"""DA-2K: photographs with pairs of points, of which one is known to be closer; there is no depth map.

The samples are the images; `pairs` gives the pairs of all of them, by the key of their sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from depth_model.errors import BadInput
from depth_model.files import parsed_json
from depth_model.reading.inputs import decoded, safe_key
from depth_model.reading.reader import Reader, always
from depth_model.shards.sample import Item, Sample

ANNOTATIONS = "annotations.json"
Scene = Literal[
    "indoor", "outdoor", "non_real", "transparent_reflective", "adverse_style", "aerial", "underwater", "object"
]


class Pair(NamedTuple):
    """Two points, (row, column) in pixels of the image; the first is closer to the camera."""

    closer: tuple[int, int]
    farther: tuple[int, int]


@dataclass(frozen=True)
class Options:
    """`scene`: one of the eight types of scene, or all when not given."""

    scene: Scene | None = None


def _items(root: Path, options: Options) -> Iterator[Item]:
    folder, content = _content(root)
    for name in sorted(content):
        if options.scene is None or options.scene in name.split("/")[:-1]:
            yield Item(_key(name), f"{folder}{name}", (f"{folder}{name}",))


def _content(root: Path) -> tuple[str, dict[str, Any]]:
    """Return the folder of the annotations (empty, or ending with a slash) and their content by image."""
    path = next(iter(sorted(root.glob(f"*/{ANNOTATIONS}"))), root / ANNOTATIONS)
    path = root / ANNOTATIONS if (root / ANNOTATIONS).is_file() else path
    relative = path.relative_to(root).as_posix()
    content = decoded(root, relative, _json)
    if not isinstance(content, dict):
        raise BadInput(f"{relative}: not an object of image paths")
    return relative.removesuffix(ANNOTATIONS), content


def _json(data: bytes) -> Any:
    try:
        return parsed_json(data)
    except ValueError as error:
        raise BadInput(f"not a JSON file: {error}") from error


def _key(name: str) -> str:
    return safe_key(re.sub(r"\.[^./]*$", "", name))


def _load(root: Path, item: Item, options: Options) -> Sample:
    return Sample(item.key, decoded(root, item.paths[0], bytes), source_path=item.source_path)


def pairs(root: Path) -> dict[str, list[Pair]]:
    """Return {key of the sample: its pairs} of the data set below `root`; raises BadInput for wrong annotations."""
    folder, content = _content(root)
    try:
        return {_key(name): [_pair(one) for one in listed] for name, listed in content.items()}
    except (LookupError, TypeError, ValueError) as error:
        raise BadInput(f"{folder}{ANNOTATIONS}: a pair is incomplete ({type(error).__name__}: {error})") from error


def _pair(annotation: dict[str, Any]) -> Pair:
    first, second = (tuple(int(value) for value in annotation[name]) for name in ("point1", "point2"))
    if len(first) != 2 or len(second) != 2 or min(*first, *second) < 0:
        raise ValueError(f"points {first} and {second}")
    if annotation["closer_point"] not in ("point1", "point2"):
        raise ValueError(f"closer_point {annotation['closer_point']!r}")
    return Pair(first, second) if annotation["closer_point"] == "point1" else Pair(second, first)


def scene(key: str) -> str:
    """Return the type of scene of the sample with `key`: the part of its path that names one; ValueError for none."""
    found = next((part for part in key.split("/") if part in get_args(Scene)), None)
    if found is None:
        raise ValueError(f"no part of {key!r} names a type of scene ({', '.join(get_args(Scene))})")
    return found


READER = Reader(
    name="da2k",
    options=Options,
    items=_items,
    load=_load,
    expected=always(f"{ANNOTATIONS} | */{ANNOTATIONS}"),
    layout="""
        DA-2K/
          annotations.json                 (image: [{point1: [row, column], point2, closer_point: "point1"}, ...])
          images/indoor/<name>.jpg         (eight types of scene)
    """,
    description="Diverse photographs with pairs of points, of which one is closer.",
    license="see its page",
    images="about 1000, with 2000 pairs",
    where="https://huggingface.co/datasets/depth-anything/DA-2K (DA-2K.zip)",
    paper="not in the paper: the benchmark of Depth Anything V2",
)
