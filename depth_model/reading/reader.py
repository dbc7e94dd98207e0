"""What a reader is: the data contract of every data set.

A reader lists its items cheaply (`items`) and loads one of them (`load`), so that a collection can be cut
into shards and spread over processes before a single image is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from depth_model.errors import BadInput
from depth_model.reading import roots
from depth_model.reading.inputs import safe_key
from depth_model.shards.folder import LinkedRoot
from depth_model.shards.sample import Item, Sample
from depth_model.shards.store import Bucket, located, opened


def files_below(root: Path | Bucket) -> Iterator[dict[str, Any]]:
    """Yield path (relative, POSIX), size in bytes and modification time in ns (of objects: etag) of every file.

    In sorted order; hidden files are left out (see `store.Folder.listed`).
    """
    return opened(root).listed()


def rooted(root: Path | str | Bucket, options: Any) -> Path | Bucket:
    """Return the folder or the bucket that `root` names, a LinkedRoot where `options` has `follow_links` set."""
    place = located(root)
    return LinkedRoot(place) if getattr(options, "follow_links", False) and isinstance(place, Path) else place


def _watch_files(root: Path, options: Any) -> Iterator[dict[str, Any]]:
    return files_below(rooted(root, options))


def _same(patterns: tuple[str, ...], options: Any) -> tuple[str, ...]:
    return patterns


def always(*patterns: str) -> Callable[[Any], tuple[str, ...]]:
    """Return what `Reader.expected` is when it does not depend on the options; it can be sent to other processes."""
    return partial(_same, patterns)


_NOTHING = always()


@dataclass(frozen=True)
class Reader:
    """One data set in its official layout.

    `options` is a frozen dataclass of the reader's options; `items(root, options)` lists lazily in a stable
    order with unique keys; `load(root, item, options)` returns the sample or raises BadInput;
    `watch(root, options)` yields what the inventory records, so that a change re-collects this source only.
    `expected(options)` names what must lie below the root, as patterns of `roots.fault`.
    `claims(options)` returns what tells whether a path is one of those that are read: any other is an input that cannot
    be read. None for a data set, which holds files of other kinds as well.
    `sky_label` is the class of sky in `Sample.semantic`. `loose_files` says that a sample depends on the files
    `Item.paths` and on nothing else, and that all are reached through `inputs`: such a source may lie in an object
    store, and the shards of its unchanged files are used again when others change.
    The other fields are for the generated documentation: `layout` as a tree, `unit` and `invalid` as stored on
    disk, `license`, number of `images`, `where` to get it and its place in the `paper`.
    """

    name: str
    options: type
    items: Callable[[Path, Any], Iterator[Item]]
    load: Callable[[Path, Item, Any], Sample]
    layout: str
    description: str
    watch: Callable[[Path, Any], Iterator[dict[str, Any]]] = _watch_files
    expected: Callable[[Any], tuple[str, ...]] = _NOTHING
    claims: Callable[[Any], Callable[[str], object]] | None = None
    sky_label: int | None = None
    needs_root: bool = True
    loose_files: bool = False
    unit: str = ""
    invalid: str = ""
    license: str = ""
    images: str = ""
    where: str = ""
    paper: str = ""

    def check_root(self, root: Path | str, options: Any) -> None:
        """Raise BadInput, one line, when the folder is missing or something that the layout has is not in it."""
        place = located(root)  # a bucket says itself what is missing, when it is listed
        looked_at = self.needs_root and isinstance(place, Path)
        if looked_at and (fault := roots.fault(place, self.expected(options), self.where)):
            raise BadInput(f"{self.name}: {fault}")

    def listed(self, root: Path | str, options: Any) -> Iterator[Item]:
        """Yield the items below `root`, lazily; raises BadInput as `check_root` does, and when nothing is listed.

        A reader that expects no layout (a folder of pictures) may list nothing.
        """
        self.check_root(root, options)
        empty = True
        for item in self.items(rooted(root, options), options):
            empty = False
            yield item
        if empty and (expected := self.expected(options)):
            raise BadInput(f"{self.name}: not one sample in {str(root)!r}, although there is {', '.join(expected)}")

    def everything(self, root: Path | str, options: Any) -> Iterator[Item]:
        """Yield the items of `listed`, and after them one with its `fault` for whatever else lies below `root`.

        Nothing is left out in silence: links that are not followed or lead nowhere, pipes, folders that cannot be
        read, and, where the reader `claims` paths, every file of another name.
        """
        yield from self.listed(root, options)
        place = rooted(root, options)
        claimed = self.claims(options) if self.claims else None
        for path, _, fault in opened(place).everything() if self.needs_root else ():
            if not fault and claimed is not None and not claimed(path):
                fault = "its name fits no pattern of this source"
            if fault:
                yield Item(safe_key(f"left out/{path}"), path, fault=fault)

    def __call__(
        self,
        root: Path | str = "",
        *,
        on_rejected: Callable[[Item, str], None] | None = None,
        **options: Any,
    ) -> Iterator[Sample]:
        """Yield the samples below `root`; options are those of `self.options`.

        A bad input raises BadInput, or is handed to `on_rejected(item, reason)` when that is given; an incomplete
        root raises BadInput as `listed` does.
        """
        chosen = self.options(**options)
        place = rooted(root, chosen)
        for item in self.listed(place, chosen):
            try:
                yield self.load(place, item, chosen)
            except BadInput as error:
                if on_rejected is None:
                    raise BadInput(f"{item.source_path}: {error}") from error
                on_rejected(item, str(error))
