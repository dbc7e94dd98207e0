"""The folders that `depth-anything train` is given: which source they make, what they hold, and what is wrong."""

from __future__ import annotations

import argparse
import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import readers
from depth_model.errors import UserError
from tasks.commands.shared import checked_source
from tasks.settings import own

if TYPE_CHECKING:
    from depth_model.reading.inspection import Statistics

OPENED = 200
"""Images of a source that are opened before a training; all are listed."""

FEWEST_HELD_OUT, LEAST_SHARE, LARGEST_SHARE = 25, 0.1, 0.5
"""Labeled images to hold out, and the least and the largest share of all that they may be."""

LARGEST_ROOM = 15.0
"""Meters; where no label is farther, images show rooms, in which no sky is to be looked for."""

LARGEST_CODE = 65535
"""Of 16 bits; sensors store it where they saw nothing, so that it is taken for no label where it occurs."""


@dataclass(frozen=True)
class Folder:
    """A source of images: `root` and `options` as params.yaml takes them, how many there are, and what was opened."""

    root: str
    listed: int
    opened: Statistics
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, Any]:
        """The source as params.yaml has it, but for its reader."""
        return {"root": self.root} | ({"options": self.options} if self.options else {})

    @property
    def shows_sky(self) -> bool:
        """Whether images may show the sky, by how far labels reach."""
        return self.opened.high > LARGEST_ROOM

    @property
    def short_side(self) -> int:
        """The shorter side in pixels of the most frequent size."""
        return min(self.opened.sizes.most_common(1)[0][0])


def unlabeled(folder: str) -> Folder:
    """Return the images below `folder`; raises UserError when it is not there or none can be read."""
    _check_folder("--images", folder)
    return _opened("--images", f"{folder}: ", "image_folder", folder, {})


def labeled(given: argparse.Namespace) -> Folder | None:
    """Return the pairs that --color and --depth find below --labels, None without these options.

    Raises UserError for half of the options, a pattern that finds nothing, and pairs that cannot be read.
    """
    if given.color is None and given.depth is None:
        if given.labels is not None:
            raise UserError(f"--labels {given.labels}: needs --color and --depth, the patterns of files below it")
        return None
    if given.color is None or given.depth is None:
        one, other = ("--color", "--depth") if given.depth is None else ("--depth", "--color")
        raise UserError(f"{one} needs {other}: both patterns, with * for the part that names of a pair share")
    root, patterns = _root(given)
    _check_folder("--labels", root)
    options = dict(zip(("color", "depth"), patterns, strict=True)) | {"unit": given.unit}
    checked_source("rgbd_folder", root, options)
    for option, pattern in zip(("--color", "--depth"), patterns):
        if not glob.glob(str(Path(root, pattern.replace("{}", "*"))), recursive=True):
            raise UserError(f"{option} {pattern!r}: nothing in {root} matches; {_instead(root)}")
    found = _opened("--color and --depth", "", "rgbd_folder", root, options)
    if round(found.opened.high * given.unit) != LARGEST_CODE:
        return found
    return _opened("--color and --depth", "", "rgbd_folder", root, options | {"invalid": [0, LARGEST_CODE]})


def held_out(found: Folder) -> tuple[float, int]:
    """Return which fraction of labeled images training is kept from (`validation.fraction`), and about how many those
    are: exactly, but for images that cannot be read, of few."""
    from depth_model.audit.held_out import share_for
    from depth_model.training.settings import ValidationSettings

    if found.listed * LEAST_SHARE > 4 * FEWEST_HELD_OUT:
        return LEAST_SHARE, round(found.listed * LEAST_SHARE)
    reader = readers.get("rgbd_folder")
    options = checked_source(reader.name, found.root, found.options).chosen_options()
    items = list(reader.listed(Path(found.root), options))
    keys, paths = [one.key for one in items], [one.source_path for one in items]
    wanted = min(FEWEST_HELD_OUT, round(LARGEST_SHARE * found.listed))
    return share_for(keys, paths, own.LABELS, ValidationSettings().seed, wanted)


def _root(given: argparse.Namespace) -> tuple[str, list[str]]:
    """Return the folder of the pairs and both patterns below it: that of --labels, or what both patterns begin with."""
    patterns = [given.color, given.depth]
    if given.labels is not None:
        return given.labels, patterns
    firsts = [os.path.dirname(pattern[: _first_wildcard(pattern)]) for pattern in patterns]
    try:
        root = os.path.commonpath(firsts)
    except ValueError:  # one is absolute, the other is not
        raise UserError(f"--color {given.color} and --depth {given.depth}: name the folder of both: --labels") from None
    return root or ".", [os.path.relpath(pattern, root) if root else pattern for pattern in patterns]


def _first_wildcard(pattern: str) -> int:
    return min((at for at in (pattern.find(one) for one in "*{") if at >= 0), default=len(pattern))


def _check_folder(option: str, folder: str) -> None:
    if not Path(folder).is_dir():
        what = "is a file, not a folder" if Path(folder).exists() else "there is no such folder"
        raise UserError(f"{option} {folder}: {what}")


def _instead(root: str) -> str:
    """Return for a message what is in a folder instead of what was looked for."""
    found = sorted(path.name + "/" * path.is_dir() for path in Path(root).iterdir())[:4]
    return f"it holds {', '.join(found)}" + ", ..." * (len(found) == 4) if found else "it is empty"


def _opened(option: str, where: str, name: str, root: str, options: dict[str, Any]) -> Folder:
    from depth_model.reading.inspection import inspected

    reader, checked = readers.get(name), checked_source(name, root, options).chosen_options()
    listed = sum(1 for _ in reader.listed(Path(root), checked))
    opened = inspected(reader, Path(root), checked, OPENED)
    if not opened.samples:
        reasons = "; ".join(f"{reason} ({count})" for reason, count in opened.refused.most_common(3))
        raise UserError(f"{option}: {where}no image that can be used: {reasons or _instead(root)}")
    return Folder(root, listed, opened, options)


def lines(title: str, found: Folder) -> Iterator[str]:
    """Yield what a source holds: counts, sizes, range in meters, warnings, and what will go to quarantine."""
    opened = found.opened
    looked = "" if opened.samples + sum(opened.refused.values()) >= found.listed else f", {OPENED} of them opened"
    yield f"{title}: {found.listed} in {found.root}{looked}"
    yield from (f"  {line}" for line in opened.lines() if not line.startswith(("samples read", "target")))


def depth_range(found: Folder) -> str:
    """Return the range of the depths that were opened."""
    return f"{found.opened.low:.3g} to {found.opened.high:.3g} m"
