"""What the name of a checkpoint says that no tensor shows: which Depth Anything, relative or metric, and its range.

The files of both have the same tensor names; other blocks feed the decoder, and the metric ones of the second have a
sigmoid at their end (docs/paper.md 8.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from depth_model.networks.checkpoint_names import BadCheckpoint
from depth_model.networks.variants import VARIANTS, Version


class Release(NamedTuple):
    """A released model: its version, and of a metric one the range in meters (None: not told) and the domain."""

    version: Version
    metric: bool = False
    maximum: float | None = None
    domain: str = ""


_SECOND = r"depth_anything_v2(?![0-9])"
RELEASES = {
    rf"{_SECOND}_metric_(hypersim|indoor)": Release("v2", True, 20.0, "indoor"),
    rf"{_SECOND}_metric_(vkitti|outdoor)": Release("v2", True, 80.0, "outdoor"),
    r"depth_anything_metric_depth_indoor": Release("v1", True, 10.0, "indoor"),
    r"depth_anything_metric_depth_outdoor": Release("v1", True, 80.0, "outdoor"),
    _SECOND: Release("v2"),
    r"depth_anything_(vit[sbl]14|small|base|large)": Release("v1"),
}
"""By what a name holds, in small letters and with underscores, the first that fits."""
NONCOMMERCIAL, FREE = "CC-BY-NC-4.0", "Apache-2.0"
LICENSES = {
    rf"{_SECOND}(?!_metric).*(vits|small)": FREE,
    rf"{_SECOND}.*(vit[blg]|base|large|giant)": NONCOMMERCIAL,
    r"depth_anything_(vit[sbl]14|small|base|large|metric_depth_(in|out)door)": FREE,
}
"""Of released weights, as their authors state them, by what a name holds; of the small metric ones of the second Depth
Anything they state none."""
GENERIC = ("model.safetensors", "pytorch_model.bin")
"""Names of files in transformers' folders: there the folder has the name, and config.json beside."""


def release_of(path: str | Path) -> Release | None:
    """Return what the name of `path` says, None for nothing.

    A name that says "metric" where no release does is that of a metric model whose range is not told.
    """
    path = Path(path)
    name = (path.parent if path.name in GENERIC else path).name.lower().replace("-", "_")
    found = next((release for pattern, release in RELEASES.items() if re.search(pattern, name)), None)
    return found._replace(metric=True) if found and "metric" in name else found


def license_of(name: str) -> str | None:
    """Return the license that the release called `name` (file, folder or hub id) has, None where that is not known."""
    plain = name.lower().replace("-", "_")
    return next((license for pattern, license in LICENSES.items() if re.search(pattern, plain)), None)


def known_version(
    path: str | Path, size: str, asked: Version | None, stated: Version | None, blocks: Sequence[int] | None
) -> Version:
    """Return the version of the model of `size` in `path`: as `asked` for, as its configuration has `stated` by
    name or by the blocks in it, or else as its name or the `blocks` say that the user gave.

    Raises BadCheckpoint, which asks for it, when nothing does, and when what is asked for is not what is stated.
    """
    if asked and stated and asked != stated:
        raise BadCheckpoint(f"{path} says that it is of version {stated}, not {asked}")
    release = release_of(path)
    version = asked or stated or (release and release.version)
    version = version or (VARIANTS[size].version_of(blocks) if blocks is not None else None)
    if version is None:
        raise BadCheckpoint(
            f"{path} may be of the first or of the second Depth Anything, no tensor tells: say version v1 or v2 "
            "(--version; of a metric file its range too, --maximum, in evaluate --model-maximum), or give it its "
            "released name"
        )
    return version
