"""What the unlabeled data sets share: images below a root, each a file or a member of an archive.

A data set says by two regular expressions which files are archives and which paths are its images, where a member is
addressed like a file in a folder that has the name of the archive (`sa_000000.tar/sa_1.jpg`). The groups of the second
one make the key, so that an image keeps its key whether its archive was unpacked or not. Reads no labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from depth_model.errors import BadInput
from depth_model.reading import archives
from depth_model.reading.inputs import path_below, paths_below, read_below, safe_key
from depth_model.reading.reader import Reader, always, files_below, rooted
from depth_model.shards.sample import Item, Sample


@dataclass(frozen=True)
class ImageSet:
    """Which paths below the root are `archives`, which are `images`; of a video, one frame in `every`.

    `all_counted`: members of other names are inputs that cannot be read, as in a source of one's own; those of a data
    set are none.
    """

    archives: re.Pattern[str]
    images: re.Pattern[str]
    every: int = 1
    all_counted: bool = False

    def items(self, root: Path) -> Iterator[Item]:
        """Yield the images in a stable order, archive by archive as they lie; nothing of it stays in memory."""
        for path in paths_below(root):
            if self.archives.fullmatch(path):
                yield from self._members(root, path)
            elif match := self.images.fullmatch(path):
                yield Item(_key(match), path, (path,))

    def _members(self, root: Path, archive: str) -> Iterator[Item]:
        try:
            found = archives.members(path_below(root, archive), self.every)
        except BadInput as error:
            found = iter([archives.Member("", "", str(error))])
        for member in found:
            path = f"{archive}/{member.name}"
            if not member.name:
                yield Item(safe_key(f"rest of {archive}"), archive, (archive, "", member.reason))
            elif match := self.images.fullmatch(path):
                yield Item(_key(match), path, (archive, member.place, member.reason))
            elif self.all_counted:
                fault = member.reason or "its name fits no pattern of this source"
                yield Item(safe_key(f"left out/{path}"), path, (archive, "", fault))

    def watch(self, root: Path) -> Iterator[dict[str, Any]]:
        """Yield what the inventory records of the archives and the images that are files."""
        for entry in files_below(root):
            if self.all_counted or "left_out" in entry or self.reads(entry["path"]):
                yield entry

    def reads(self, path: str) -> bool:
        """Return whether `path` is that of an archive, of what belongs to one, or of an image that is a file."""
        belongs = path.endswith(archives.LMDB_LOCKS)
        return bool(belongs or self.archives.fullmatch(path) or self.images.fullmatch(path))


def _key(match: re.Match[str]) -> str:
    return safe_key("/".join(group for group in match.groups() if group))


def reader(of: Callable[[Any], ImageSet], **fields: Any) -> Reader:
    """Return the reader of the set `of(options)`; `fields` are the other fields of Reader.

    `of` must be a function of a module, as readers are sent to other processes.
    """
    if fields.pop("all_counted", False):
        fields["claims"] = partial(_claims, of)
    return Reader(items=partial(_items, of), load=_load, watch=partial(_watch, of), **fields)


@dataclass(frozen=True)
class NoOptions:
    """There are none."""


@cache
def _plain(archives: str, pictures: str, options: NoOptions) -> ImageSet:
    return ImageSet(re.compile(archives), re.compile(pictures))


def plain_reader(archives: str, pictures: str, expected: tuple[str, ...], **fields: Any) -> Reader:
    """Return the reader of a set without options, whose archives and images have the paths of two regular expressions.

    `expected` is what `Reader.expected` returns; `fields` are the other fields of Reader.
    """
    return reader(partial(_plain, archives, pictures), options=NoOptions, expected=always(*expected), **fields)


def _claims(of: Callable[[Any], ImageSet], options: Any) -> Callable[[str], bool]:
    return of(options).reads


def _items(of: Callable[[Any], ImageSet], root: Path, options: Any) -> Iterator[Item]:
    return of(options).items(root)


def _watch(of: Callable[[Any], ImageSet], root: Path, options: Any) -> Iterator[dict[str, Any]]:
    return of(options).watch(rooted(root, options))


def _load(root: Path, item: Item, options: Any) -> Sample:
    archive, *place = item.paths
    if not place:
        return Sample(item.key, read_below(root, archive), source_path=item.source_path)
    at, reason = place
    if reason:
        raise BadInput(reason)
    return Sample(item.key, archives.read(path_below(root, archive), at), source_path=item.source_path)
