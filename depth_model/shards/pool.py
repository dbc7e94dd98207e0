"""The sources of a role as one numbered collection, as training reads it: plain concatenation (paper 3.1).

Holds columns of numbers only, so that tens of millions of samples fit; the order is that of the catalog and of
the manifests. Does not shuffle, crop, resize or normalise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from depth_model.shards import images, manifest, rasters
from depth_model.shards.shard_reader import ShardReader, fit_together


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
    below `minimum_quality`; `low_quality` says how many of each source. Raises ValueError when a folder does not fit
    the catalog or its sidecar, an exclusion names no sample, or there are no scores.
    """

    def __init__(
        self,
        data: Path,
        role: str,
        catalog: Mapping[str, Any],
        sidecar: Literal["sky", "pseudo"] | None = None,
        exclusions: Path | None = None,
        minimum_quality: float = 0.0,
    ) -> None:
        self._sidecar = sidecar
        self._sources = [_Source(Path(data), role, name, sidecar) for name in catalog]
        fit_together(reader for source in self._sources for reader in source.readers.values())
        for source, entry in zip(self._sources, catalog.values(), strict=True):
            if len(source) != entry["samples"]:
                raise ValueError(
                    f"{source.folder}: {len(source)} samples, the catalog says {entry['samples']}; "
                    f"run 'dvc repro validate_{role}'"
                )
        if exclusions is not None:
            _leave_out(self._sources, Path(exclusions))
        self.low_quality: dict[str, int] = {}
        if minimum_quality:
            self.low_quality = {one.name: one.leave_out_below(minimum_quality) for one in self._sources}
        self._ends = np.cumsum([len(source) for source in self._sources])

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends.size else 0

    def load(self, index: int) -> StoredSample:
        """Read and decode sample `index`; raises IndexError out of range and BadInput for a damaged shard."""
        source, number = self._place(index)
        return source.load(number, self._sidecar)


    def semantic(self, index: int) -> np.ndarray | None:
        """Read the class labels of sample `index`, uint8 (h, w), 255 = ignore; None when it has none. Raises as `load`.

        (h, w) is the size of the image as found, which `collect.max_side` may have made smaller.
        """
        source, number = self._place(index)
        return source.semantic(number)

    def _place(self, index: int) -> tuple[_Source, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        source = self._sources[number]
        return source, index - int(self._ends[number]) + len(source)


def _leave_out(sources: list[_Source], exclusions: Path) -> None:
    table = pq.read_table(exclusions, columns=["source", "key"])
    left = sum(
        source.leave_out(table.filter(pc.equal(table["source"], source.name))["key"]) for source in sources
    )
    if left != table.num_rows:
        raise ValueError(f"{exclusions}: {table.num_rows - left} of {table.num_rows} name no sample; run 'dvc repro'")


class _Source:
    """The columns of one source that reading needs; shard names are numbers into a short list."""

    def __init__(self, data: Path, role: str, name: str, sidecar: str | None) -> None:
        self.name = name
        self.folder = data / role / name
        members = ("image", "target", "semantic")
        places = [f"{member}_{what}" for member in members for what in ("offset", "size")]
        columns = ["key", "shard", "target_kind", "image_digest", *places]
        path = self.folder / manifest.MANIFEST
        table = manifest.read_table(path, columns)
        self.readers = {"source": ShardReader(self.folder, manifest.metadata(path)["shards"])}
        self.digests = table["image_digest"].to_numpy()
        self.keys = table["key"]
        self.rows: np.ndarray | None = None  # those that are left, when some are left out
        self.shard_names, self.shard = _coded(table["shard"])
        self.kinds, self.kind = _coded(table["target_kind"])
        self.places = {
            member: (table[f"{member}_offset"].to_numpy(), table[f"{member}_size"].to_numpy())
            for member in members
        }
        if sidecar is not None:
            self._read_sidecar(data / sidecar / name)

    def _read_sidecar(self, folder: Path) -> None:
        table = manifest.read_table(folder / manifest.SIDECAR, ["key", "offset", "size"])
        if not table["key"].equals(self.keys):
            raise ValueError(f"{folder}: keys differ from those of {self.folder}; run 'dvc repro' to make it again")
        self.sidecar_folder = folder
        self.readers["sidecar"] = ShardReader(folder, manifest.metadata(folder / manifest.SIDECAR)["shards"])
        self.places["sidecar"] = table["offset"].to_numpy(), table["size"].to_numpy()

    def __len__(self) -> int:
        return len(self.keys) if self.rows is None else len(self.rows)

    def leave_out(self, keys: pa.ChunkedArray) -> int:
        """Leave out the samples `keys`; return how many of them are there."""
        return self._leave(pc.is_in(self.keys, value_set=keys.combine_chunks()).to_numpy(zero_copy_only=False))

    def leave_out_below(self, quality: float) -> int:
        """Leave out the samples whose pseudo label scores below `quality`; return how many that are."""
        path = self.sidecar_folder / manifest.SIDECAR
        if "quality" not in manifest.schema(path).names:
            if not len(self):
                return 0
            raise ValueError(f"{path}: holds no scores; set pseudo_label.quality and run 'dvc repro'")
        return self._leave(manifest.read_table(path, ["quality"])["quality"].to_numpy() < quality)

    def _leave(self, out: np.ndarray) -> int:
        """Leave out the samples where `out`, bool per row of the manifest; return how many were still there."""
        left = np.arange(len(self.keys)) if self.rows is None else self.rows
        if out.any():
            self.rows = left[~out[left]]
        return int(out[left].sum())

    def _row(self, number: int) -> int:
        return number if self.rows is None else int(self.rows[number])

    def semantic(self, number: int) -> np.ndarray | None:
        row = self._row(number)
        if not self.places["semantic"][1][row]:
            return None
        return rasters.decode_labels(self._member("semantic", row))

    def load(self, number: int, sidecar: str | None) -> StoredSample:
        row = self._row(number)
        image = images.decode_rgb(self._member("image", row))
        if sidecar == "pseudo":
            codes = rasters.decode_codes(self._member("sidecar", row))
            return StoredSample(self.keys[row].as_py(), self.name, image, codes, "affine_disparity", None)
        raster = None
        if sidecar == "sky":
            raster = rasters.decode_mask(self._member("sidecar", row))
        target, kind = None, None
        if self.places["target"][1][row]:
            target, kind = rasters.decode(self._member("target", row)), self.kinds[self.kind[row]]
        sky = raster if raster is None or target is None else resized_nearest(raster, target.shape)
        return StoredSample(self.keys[row].as_py(), self.name, image, target, kind, sky)

    def _member(self, member: str, row: int) -> bytes:
        offsets, sizes = self.places[member]
        reader = self.readers["sidecar" if member == "sidecar" else "source"]
        digest = int(self.digests[row]) if member == "image" else None
        return reader.read(self.shard_names[self.shard[row]], int(offsets[row]), int(sizes[row]), digest)


def _coded(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """Return (the distinct values, int32 number of each row's value; -1 for none)."""
    encoded = column.unify_dictionaries().combine_chunks()
    return encoded.dictionary.to_pylist(), pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)


def resized_nearest(raster: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return `raster` (h, w) at `shape` (H, W), by nearest centre: labels are never interpolated."""
    if raster.shape == shape:
        return raster
    rows = (np.arange(shape[0]) * 2 + 1) * raster.shape[0] // (2 * shape[0])
    columns = (np.arange(shape[1]) * 2 + 1) * raster.shape[1] // (2 * shape[1])
    return raster[rows[:, None], columns]
