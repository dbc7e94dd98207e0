"""The images of a set one by one, with their truth: of a collected source, or straight from a reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.evaluation.protocols import check_kind
from depth_model.shards import images
from depth_model.shards.sample import Item, check_key
from depth_model.shards.source import SourceFolder


@dataclass(frozen=True)
class Case:
    """An image uint8 (H, W, 3) and its truth float32 (h, w) of `kind`, NaN = none."""

    key: str
    image: np.ndarray
    target: np.ndarray
    kind: str


class Cases(Protocol):
    """A numbered collection of cases; `load` raises BadInput or OSError for one that cannot be used."""

    def __len__(self) -> int:
        """Return the number of cases."""

    def key(self, index: int) -> str:
        """Return the key of case `index`."""

    def load(self, index: int) -> Case:
        """Return case `index`."""


@dataclass(frozen=True)
class CollectedCases:
    """The cases of a collected source. Raises BadInput when its targets leave no depth (see `check_kind`)."""

    source: SourceFolder

    def __post_init__(self) -> None:
        """Refuse a source without depth before anything is predicted."""
        check_kind(self.source.target_kind)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.source)

    def key(self, index: int) -> str:
        """Return the key of sample `index`."""
        return self.source.key(index)

    def load(self, index: int) -> Case:
        """Return sample `index`; raises BadInput without truth."""
        target = self.source.target(index)
        if target is None:
            raise BadInput("no ground truth")
        return Case(self.key(index), self.source.image(index), target, str(self.source.target_kind))


@dataclass(frozen=True)
class ReadCases:
    """The cases of a reader, read when they are needed: nothing is copied. Cheap to send to another process."""

    reader: str
    root: Path
    options: Any
    items: tuple[Item, ...]

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)

    def key(self, index: int) -> str:
        """Return the key of item `index`."""
        return self.items[index].key

    def load(self, index: int) -> Case:
        """Return item `index`; raises what the reader raises, and BadInput without truth of the image's size."""
        item = self.items[index]
        sample = readers.get(self.reader).load(self.root, item, self.options)
        if sample.target is None or sample.target_kind is None:
            raise BadInput("no ground truth")
        image = images.decode_rgb(sample.image)
        if image.shape[:2] != sample.target.shape:
            raise BadInput(f"truth of shape {sample.target.shape}, but the image has {image.shape[:2]}")
        check_kind(sample.target_kind)
        return Case(check_key(item.key), image, sample.target, sample.target_kind)


def read_cases(reader: str, root: Path, options: Any, listed: Sequence[str] | None = None) -> ReadCases:
    """Return the cases of `reader` below `root`, or those of them that `listed` names by key or by path.

    Raises BadInput that names the first of `listed` that are not there.
    """
    chosen = readers.get(reader)
    # Checked options may be of a class made for the check, which no other process knows.
    options = chosen.options(**{field.name: getattr(options, field.name) for field in fields(chosen.options)})
    items = tuple(chosen.items(root, options))
    if listed is not None:
        items = tuple(_chosen(items, listed))
    repeated = len(items) - len({item.key for item in items})
    if repeated:
        raise BadInput(f"{repeated} images have a key that another one has; choose one part of the data by --options")
    return ReadCases(reader, root, options, items)


def _chosen(items: Sequence[Item], listed: Sequence[str]) -> list[Item]:
    named = {name: item for item in items for name in (item.key, item.source_path, *item.paths)}
    missing = [name for name in listed if name not in named]
    if missing:
        known = items[0].key if items else "nothing"
        raise BadInput(
            f"{len(missing)} of {len(listed)} listed images are not in the set, as {missing[0]}; a line names an image "
            f"by its key (there is {known}) or by its path below the root"
        )
    return [named[name] for name in dict.fromkeys(listed)]
