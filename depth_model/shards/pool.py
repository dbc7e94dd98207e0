"""The sources of a role as one numbered collection, as training reads it: plain concatenation (paper 3.1).

Holds columns of numbers only, so that tens of millions of samples fit; the order is that of the catalog and of
the manifests. Does not shuffle, crop, resize or normalize.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from depth_model.errors import UserError
from depth_model.shards import manifest, rasters
from depth_model.shards.shard_store import ShardReader, fit_together
from depth_model.shards.source import SidecarFolder, SourceFolder

HELD_OUT = "held_out"
"""The reason of a sample that is kept from training to measure on it."""


@dataclass(frozen=True)
class StoredSample:
    """One sample as stored: image uint8 (H, W, 3), target float32 (h, w) with NaN = no label, sky bool (h, w).

    The target of a pseudo label is its codes, uint16 (h, w): disparity of unknown scale and shift, 0 = no label.
    (h, w) is the size of the target, or that of the image when there is no target. It differs from (H, W) for
    pseudo labels and for images that were scaled down to `collect.max_side`; the field of view is the same.
    """

    key: str
    source: str
    image: np.ndarray
    target: np.ndarray | None
    target_kind: str | None
    sky: np.ndarray | None


class SamplePool:
    """All samples of a role that a catalog lists, with the sky masks or pseudo labels of a sidecar.

    `data` is the folder `data`, `catalog` the content of `data/catalog/<role>.json`: only the sources that it
    names are read. With sidecar "sky", samples carry a sky mask; with "pseudo", the target is the pseudo label
    and its kind `affine_disparity`. What `exclusions` (a table with the columns source and key, as
    `data/exclusions/<role>.parquet`) names is left out, and so are samples whose pseudo label has a score of quality
    below `minimum_quality`; `low_quality` says how many of each source. Of what `held_out` names (a table with the
    columns source, key and reason, `data/exclusions/held_out/<role>.parquet`) nothing is left, or, for `validation`,
    what its reason says and nothing else. `class_maps` names the sources whose samples have one of their own
    (`data/class_map`). Raises UserError when a folder does not fit the catalog or its sidecar, an
    exclusion names no sample, or there are no scores.
    """

    def __init__(
        self,
        data: Path,
        role: str,
        catalog: Mapping[str, Any],
        sidecar: Literal["sky", "pseudo"] | None = None,
        exclusions: Path | None = None,
        minimum_quality: float = 0.0,
        held_out: Path | None = None,
        validation: bool = False,
        class_maps: Collection[str] = (),
    ) -> None:
        self._sidecar, self.has_class_maps = sidecar, bool(class_maps)
        self._sources = [_Source(Path(data), role, name, sidecar, name in class_maps) for name in catalog]
        fit_together(reader for source in self._sources for reader in source.readers())
        for source, entry in zip(self._sources, catalog.values(), strict=True):
            if len(source) != entry["samples"]:
                raise UserError(
                    f"{source.stored.folder}: {len(source)} samples, the catalog says {entry['samples']}; "
                    f"run 'dvc repro validate_{role}'"
                )
        if exclusions is not None:
            _leave_out(self._sources, Path(exclusions), pq.read_table(exclusions, columns=["source", "key"]))
        if held_out is not None:
            _hold_out(self._sources, Path(held_out), validation)
        self.low_quality: dict[str, int] = {}
        if minimum_quality:
            self.low_quality = {one.name: one.leave_out_below(minimum_quality) for one in self._sources}
        self._ends = np.cumsum([len(source) for source in self._sources])

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends.size else 0

    def key(self, index: int) -> str:
        """Return `source/key` of sample `index`; raises IndexError out of range."""
        source, row = self._place(index)
        return f"{source.name}/{source.stored.key(row)}"

    def load(self, index: int) -> StoredSample:
        """Read and decode sample `index`; raises IndexError out of range and BadInput for a damaged shard."""
        source, row = self._place(index)
        stored, kind = source.stored, source.stored.value("target_kind", row)
        image, sky = stored.image(row), None
        if self._sidecar == "pseudo":
            target, kind = rasters.decode_codes(source.sidecar.member(row)), "affine_disparity"
        else:
            target = stored.target(row)
        if self._sidecar == "sky":
            sky = rasters.decode_mask(source.sidecar.member(row))
            sky = sky if target is None else resized_nearest(sky, target.shape)
        return StoredSample(stored.key(row), source.name, image, target, None if target is None else kind, sky)

    def semantic(self, index: int) -> np.ndarray | None:
        """Read the class labels of sample `index`, uint8 (h, w), 255 = ignore; None when it has none. Raises as `load`.

        (h, w) is the size of the image as found, which `collect.max_side` may have made smaller.
        """
        source, row = self._place(index)
        return source.stored.semantic(row)

    @cached_property
    def classes(self) -> int:
        """How many classes the class maps tell apart: one more than the largest in any."""
        maps = [one.class_maps for one in self._sources if one.class_maps is not None]
        return max((int(one.frame(["largest"])["largest"].max()) + 1 for one in maps if len(one)), default=0)

    def class_map(self, index: int) -> np.ndarray:
        """Read the class map of sample `index`, uint8 (h, w), 255 = none; (1, 1) for a source without. Raises as
        `load`."""
        source, row = self._place(index)
        if source.class_maps is None:
            return np.full((1, 1), 255, np.uint8)
        return rasters.decode_labels(source.class_maps.member(row))

    def _place(self, index: int) -> tuple[_Source, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number, row = numbered(self._ends, index)
        return self._sources[number], self._sources[number].row(row)


def numbered(ends: np.ndarray, index: int) -> tuple[int, int]:
    """Return (which source, which of its samples) number `index` is when sources, with sums of sizes `ends`, follow."""
    number = int(np.searchsorted(ends, index, side="right"))
    return number, int(index - (ends[number - 1] if number else 0))


def _leave_out(sources: list[_Source], exclusions: Path, table: pa.Table) -> None:
    left = sum(source.leave_out(table.filter(pc.equal(table["source"], source.name))["key"]) for source in sources)
    if left != table.num_rows:
        raise UserError(f"{exclusions}: {table.num_rows - left} of {table.num_rows} name no sample; run 'dvc repro'")


def _hold_out(sources: list[_Source], path: Path, validation: bool) -> None:
    """Leave out what the table `path` names of these sources, or all but those that are for validation."""
    table = pq.read_table(path, columns=["source", "key", "reason"])
    table = table.filter(pc.is_in(table["source"], value_set=pa.array([one.name for one in sources], pa.string())))
    if not validation:
        _leave_out(sources, path, table)
        return
    table = table.filter(pc.equal(table["reason"], HELD_OUT))
    for source in sources:
        source.leave_only(table.filter(pc.equal(table["source"], source.name))["key"])


class _Source:
    """A source with its sidecar, and which of its rows are left."""

    def __init__(self, data: Path, role: str, name: str, sidecar: str | None, class_maps: bool) -> None:
        self.name = name
        self.stored = SourceFolder(data / role / name)
        self.sidecar = None if sidecar is None else SidecarFolder(data / sidecar / name)
        self.class_maps = SidecarFolder(data / "class_map" / name) if class_maps else None
        self.rows: np.ndarray | None = None  # those that are left, when some are left out
        for one in self._sidecars():
            if not one.rows["key"].equals(self.stored.rows["key"]):
                where = f"{one.folder}: keys differ from those of {self.stored.folder}"
                raise UserError(f"{where}; run 'dvc repro' to make it again")

    def _sidecars(self) -> list[SidecarFolder]:
        return [one for one in (self.sidecar, self.class_maps) if one is not None]

    def readers(self) -> list[ShardReader]:
        """Return what reads the shards of the source and of its sidecars."""
        return [one.reader for one in (self.stored, *self._sidecars())]

    def __len__(self) -> int:
        return len(self.stored) if self.rows is None else len(self.rows)

    def row(self, number: int) -> int:
        """Return the row of the manifest of sample `number` of those that are left."""
        return number if self.rows is None else int(self.rows[number])

    def leave_out(self, keys: pa.ChunkedArray) -> int:
        """Leave out the samples `keys`; return how many of them are there."""
        found = pc.is_in(self.stored.rows["key"], value_set=keys.combine_chunks())
        return self._leave(found.to_numpy())

    def leave_only(self, keys: pa.ChunkedArray) -> None:
        """Leave out all samples but `keys`."""
        found = pc.is_in(self.stored.rows["key"], value_set=keys.combine_chunks())
        self._leave(~found.to_numpy(zero_copy_only=False))

    def leave_out_below(self, quality: float) -> int:
        """Leave out the samples whose pseudo label scores below `quality`; return how many that are."""
        path = self.sidecar.folder / manifest.SIDECAR
        if "quality" not in manifest.schema(path).names:
            if not len(self):
                return 0
            raise UserError(f"{path}: holds no scores; set pseudo_label.quality and run 'dvc repro'")
        return self._leave(manifest.read_table(path, ["quality"])["quality"].to_numpy() < quality)

    def _leave(self, out: np.ndarray) -> int:
        """Leave out the samples where `out`, bool per row of the manifest; return how many were still there."""
        left = np.arange(len(self.stored)) if self.rows is None else self.rows
        if out.any():
            self.rows = left[~out[left]]
        return int(out[left].sum())


def resized_nearest(raster: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return `raster` (h, w) at `shape` (H, W), by nearest center: labels are never interpolated."""
    if raster.shape == shape:
        return raster
    rows = (np.arange(shape[0]) * 2 + 1) * raster.shape[0] // (2 * shape[0])
    columns = (np.arange(shape[1]) * 2 + 1) * raster.shape[1] // (2 * shape[1])
    return raster[rows[:, None], columns]
