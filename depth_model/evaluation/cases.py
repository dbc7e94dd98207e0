"""The images of a set one by one, with their truth, and those of a collected source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from depth_model.errors import BadInput
from depth_model.evaluation.protocols import check_kind
from depth_model.shards.pool import SamplePool
from depth_model.shards.sample import Intrinsics, resized_intrinsics
from depth_model.shards.source import SourceFolder


@dataclass(frozen=True)
class Case:
    """An image uint8 (H, W, 3) and its truth float32 (h, w) of `kind`, NaN = none.

    `names`: what else a prediction of it made elsewhere may be called, such as its path below the root. `intrinsics`:
    (fx, fy, cx, cy) in pixels of the truth, None when unknown.
    """

    key: str
    image: np.ndarray
    target: np.ndarray
    kind: str
    names: tuple[str, ...] = ()
    intrinsics: Intrinsics | None = None


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
        image, kind = self.source.image(index), str(self.source.target_kind)
        stored = self.source.intrinsics(index)
        intrinsics = None if stored is None else resized_intrinsics(stored, image.shape[:2], target.shape)
        return Case(self.key(index), image, target, kind, intrinsics=intrinsics)


@dataclass(frozen=True)
class PooledCases:
    """The cases of samples of several sources, such as those that are held out of training."""

    pool: SamplePool

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.pool)

    def key(self, index: int) -> str:
        """Return `source/key` of sample `index`."""
        return self.pool.key(index)

    def load(self, index: int) -> Case:
        """Return sample `index`; raises BadInput without truth, or with one that leaves no depth (see `check_kind`)."""
        sample = self.pool.load(index)
        if sample.target is None:
            raise BadInput("no ground truth")
        check_kind(sample.target_kind)
        return Case(self.key(index), sample.image, sample.target, str(sample.target_kind))
