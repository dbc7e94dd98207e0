"""The images of a set one by one, straight from its reader: nothing is collected, nothing is copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.evaluation.cases import Case
from depth_model.evaluation.protocols import check_kind
from depth_model.reading.reader import rooted
from depth_model.shards import images
from depth_model.shards.sample import Item, check_key


@dataclass(frozen=True)
class ReadCases:
    """The cases of a reader, read when they are needed. Cheap to send to another process.

    `shared`: ends of paths that several images of the set have, so that they name none of them.
    """

    reader: str
    root: Path
    options: Any
    items: tuple[Item, ...]
    shared: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)

    def key(self, index: int) -> str:
        """Return the key of item `index`."""
        return self.items[index].key

    def load(self, index: int) -> Case:
        """Return item `index`; raises what the reader raises, and BadInput without truth of the image's size.

        Its other names are its path below the root and the ends of it that no other path has.
        """
        item = self.items[index]
        sample = readers.get(self.reader).load(self.root, item, self.options)
        if sample.target is None or sample.target_kind is None:
            raise BadInput("no ground truth")
        image = images.decode_rgb(sample.image)
        if image.shape[:2] != sample.target.shape:
            raise BadInput(f"truth of shape {sample.target.shape}, but the image has {image.shape[:2]}")
        check_kind(sample.target_kind)
        names = tuple(name for name in _ends(item.source_path) if name not in self.shared)
        return Case(check_key(item.key), image, sample.target, sample.target_kind, names, sample.intrinsics)


def _ends(path: str) -> Iterator[str]:
    """Yield `path`, then what is left of it without its first folder, and so on."""
    while path:
        yield path
        path = path.partition("/")[2]


def read_cases(reader: str, root: Path, options: Any, listed: Sequence[str] | None = None) -> ReadCases:
    """Return the cases of `reader` below `root`, or those of them that `listed` names.

    A line of it, or its first word, is a key or a path. Raises BadInput that names the first that is not there.
    """
    chosen = readers.get(reader)
    # Checked options may be of a class made for the check, which no other process knows.
    options = chosen.options(**{field.name: getattr(options, field.name) for field in fields(chosen.options)})
    place = rooted(root, options)
    items = tuple(chosen.items(place, options))
    times = Counter(name for item in items for name in _ends(item.source_path))
    if listed is not None:
        items = tuple(_chosen(items, listed))
    repeated = len(items) - len({item.key for item in items})
    if repeated:
        raise BadInput(f"{repeated} images have a key that another one has; choose one part of the data by --options")
    return ReadCases(reader, place, options, items, frozenset(name for name, count in times.items() if count > 1))


def _chosen(items: Sequence[Item], listed: Sequence[str]) -> list[Item]:
    named = {name: item for item in items for name in (item.key, item.source_path, *item.paths)}
    listed = [line if line in named else line.split()[0] for line in listed]
    missing = [name for name in listed if name not in named]
    if missing:
        known = items[0].key if items else "nothing"
        raise BadInput(
            f"{len(missing)} of {len(listed)} listed images are not in the set, as {missing[0]}; a line names an image "
            f"by its key (there is {known}) or by its path below the root"
        )
    return [named[name] for name in dict.fromkeys(listed)]
