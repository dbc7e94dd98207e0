"""A folder of pictures of your own, at any depth: the simplest unlabeled source.

Reads every file whose name ends like an image, or those that match the patterns given; every other file is counted
in the quarantine. No labels.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from depth_model.reading.inputs import (
    IMAGE_PATTERNS,
    distinct_key,
    loose_wildcard,
    paths_below,
    read_below,
    safe_key,
)
from depth_model.reading.reader import Reader
from depth_model.shards.sample import Item, Sample


@dataclass(frozen=True)
class Options:
    """Which files are images.

    `pattern`: one or more patterns, in which `*` stands for any part of one name, matched without regard to
    case against the last components of the path: `*.jpg`, `rgb/*.png`, and `**/` for any folders. `recursive`: look
    into folders too. `follow_links`: links may lead out of the root, as those of model hubs, DVC and git-annex do.
    """

    pattern: str | tuple[str, ...] = IMAGE_PATTERNS
    recursive: bool = True
    follow_links: bool = False


def _matcher(options: Options) -> re.Pattern[str]:
    patterns = (options.pattern,) if isinstance(options.pattern, str) else options.pattern
    bodies = map(loose_wildcard, patterns)
    start = "(?:.*/)?" if options.recursive else ""
    return re.compile(f"{start}(?:{'|'.join(bodies)})", re.IGNORECASE | re.DOTALL)


def _claims(options: Options) -> Callable[[str], object]:
    return _matcher(options).fullmatch


def _items(root: Path, options: Options) -> Iterator[Item]:
    matcher = _matcher(options)
    folder, taken = "", set()
    for path in paths_below(root):
        if not matcher.fullmatch(path):
            continue
        parent = path.rpartition("/")[0]
        if parent != folder:
            folder, taken = parent, set()
        key = safe_key(posixpath.splitext(path)[0])
        key = distinct_key(key, path) if key in taken else key  # a.jpg beside a.png
        taken.add(key)
        yield Item(key, path, (path,))


def _load(root: Path, item: Item, options: Options) -> Sample:
    return Sample(item.key, read_below(root, item.paths[0]), source_path=item.source_path)


READER = Reader(
    name="image_folder",
    options=Options,
    items=_items,
    load=_load,
    claims=_claims,
    loose_files=True,
    layout="any folder of JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP, GIF, JPEG 2000 and PNM files, folders included",
    description="Pictures of your own, without labels. New files are found at the next run.",
    license="yours",
    images="as many as there are",
    where="your own pictures",
    paper="not in the paper",
)
