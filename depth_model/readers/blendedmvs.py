"""BlendedMVS and BlendedMVG: renders of textured meshes blended with the photographs, and their depth.

Depth has the scale of each reconstruction, so its kind is `relative_depth`. The `_masked` images, whose background is
black, are left out: depth is missing there anyhow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, matching, read_below, safe_key
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample

_NUMBER = r"\s+([-+.\deE]+)"
_INTRINSICS = re.compile(r"intrinsic" + 6 * _NUMBER)


@dataclass(frozen=True)
class Options:
    """`list`: a file below the root that names one project a line, as `BlendedMVG_training.txt`; "" reads all."""

    list: str = ""


def _expected(options: Options) -> tuple[str, ...]:
    parts = ("*/blended_images", "*/rendered_depth_maps", "*/cams")
    return (*parts, options.list) if options.list else parts


def _projects(root: Path, options: Options) -> list[str]:
    if not options.list:
        return ["*"]
    names = decoded(root, options.list, lambda data: data.decode("ascii", "replace").split())
    if wrong := [name for name in names if not re.fullmatch(r"\w+", name, re.ASCII)]:
        raise BadInput(f"{options.list}: {wrong[0]!r} is no name of a project")
    if missing := [name for name in names if not (root / name).is_dir()]:
        raise BadInput(
            f"{options.list} names {len(names)} projects, {len(missing)} of them are not there ({missing[0]}, ...): "
            f"unpack all parts, or name another list"
        )
    return names


def _items(root: Path, options: Options) -> Iterator[Item]:
    for project in _projects(root, options):
        for image, found in matching(root, f"{project}/blended_images/*.jpg"):
            folder, number = image.split("/")[0], found[-1]
            if not number.endswith("_masked"):
                depth, camera = f"{folder}/rendered_depth_maps/{number}.pfm", f"{folder}/cams/{number}_cam.txt"
                yield Item(safe_key(f"{folder}/{number}"), image, (image, depth, camera))


def _intrinsics(data: bytes) -> tuple[float, float, float, float]:
    found = _INTRINSICS.search(data[:4096].decode("ascii", "replace"))
    if found is None:
        raise BadInput("no intrinsic matrix in the camera file")
    fx, _, cx, _, fy, cy = (float(number) for number in found.groups())
    return fx, fy, cx, cy


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, depth, camera = item.paths
    target = formats.depth(decoded(root, depth, formats.pfm))
    target[target < 0] = np.nan
    if np.isnan(target).all():
        raise BadInput(f"{depth}: an empty render, without depth at any pixel")
    intrinsics = decoded(root, camera, _intrinsics)
    return Sample(item.key, read_below(root, image), target, "relative_depth", None, intrinsics, item.source_path)


READER = Reader(
    name="blendedmvs",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    layout="""
        BlendedMVG_training.txt                     (from the repository; option `list`)
        <project>/blended_images/00000000.jpg       (..._masked.jpg is not read)
        <project>/rendered_depth_maps/00000000.pfm
        <project>/cams/00000000_cam.txt
    """,
    description="BlendedMVS, or with BlendedMVS+ and BlendedMVS++ unpacked beside it BlendedMVG; 768 x 576 pixels.",
    unit="float32 PFM, an arbitrary scale per project",
    invalid="0 (no mesh); renders without any depth are refused",
    license="CC BY 4.0",
    images="more than 110,000 (BlendedMVG, 502 projects)",
    where="https://github.com/YoYo000/BlendedMVS (low-resolution set; unpack all parts into one folder)",
    paper="labeled, 115K (table 1), which only BlendedMVG reaches",
)
