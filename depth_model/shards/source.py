"""A collected source on disk, sample by sample, and the sidecars that later stages write beside it.

A sidecar annotates every sample of a source with one raster (a sky mask, a pseudo label): its shards have the
names, keys and order of the shards they annotate. One call writes one shard, whole or not at all, so that an
engine that is killed goes on with the shards that are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from depth_model.shards import images, manifest, rasters, shard_store, shards
from depth_model.shards.shard_store import ShardReader
from depth_model.shards.store import Bucket

if TYPE_CHECKING:
    import pandas as pd

_MEMBERS = ("image", "target", "semantic")
_PLACES = [f"{member}_{what}" for member in _MEMBERS for what in ("offset", "size")]


class _Members:
    """The `rows` of one table, and the members of shards that they name: each by one ranged read.

    Only the columns that reading needs are held, as Arrow: no Python object for a row.
    """

    name: str
    columns: tuple[str, ...]

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        path = self.folder / self.name
        # Without the list of shards in its metadata, which would be sent with every part.
        self.rows = manifest.read_table(path, list(self.columns)).replace_schema_metadata()
        self.first = 0  # row of the table that `rows` begin with
        self.reader = ShardReader(self.folder, manifest.metadata(path)["shards"])

    def __len__(self) -> int:
        return len(self.rows)

    def value(self, column: str, index: int) -> Any:
        """Return the value of row `index` in one of the columns that are held."""
        return self.rows[column][index].as_py()

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return all columns of these rows, or `columns`, read for this call, with a row number as index."""
        whole = manifest.read_frame(self.folder / self.name, columns)
        return whole.iloc[self.first : self.first + len(self)].reset_index(drop=True)

    def member(self, index: int, member: str = "", digest: int | None = None) -> bytes:
        """Return a member of row `index`, b"" when it has none; raises BadInput when the shard is damaged."""
        offset, size = (self.value(f"{member}{what}", index) for what in ("offset", "size"))
        return self.reader.read(self.value("shard", index), offset, size, digest) if size else b""


class SourceFolder(_Members):
    """One collected source, `data/<role>/<name>`: random access to its samples by row of the manifest."""

    name = manifest.MANIFEST
    columns = ("key", "shard", "target_kind", "image_digest", "height", "width", *_PLACES)

    def names(self, index: int) -> tuple[str, str]:
        """Return what sample `index` is called: its key, and its path below the root of the source as found."""
        return self.key(index), str(self._paths[index])

    @cached_property
    def _paths(self) -> list[str]:
        return self.frame(["source_path"])["source_path"].tolist()

    def part(self, shard: str) -> SourceFolder:
        """Return the samples of one shard alone, with rows from 0: little to send to another process."""
        chosen, one = self._rows_by_shard[shard], copy(self)
        for cached in ("_rows_by_shard", "_paths", "_intrinsics"):
            one.__dict__.pop(cached, None)
        # Taken, as a slice is sent with all that it was cut from; its column `shard` holds the names of all shards.
        rows = self.rows.drop_columns(["shard"]).slice(chosen[0], len(chosen)).take(np.arange(len(chosen)))
        one.rows = rows.append_column("shard", pa.array([shard] * len(rows)).dictionary_encode())
        one.first, one.reader = self.first + int(chosen[0]), self.reader.part(shard)
        return one

    @property
    def manifest(self) -> pd.DataFrame:
        """The manifest: a row per sample, the columns of `manifest.MANIFEST_SCHEMA`."""
        return self.frame()

    @cached_property
    def target_kind(self) -> str | None:
        """The kind of the targets of this source, None when there are none; ValueError when they differ."""
        kinds = self.rows["target_kind"].unify_dictionaries().unique().drop_null().to_pylist()
        if len(kinds) > 1:
            raise ValueError(f"{self.folder}: targets of more than one kind: {', '.join(sorted(kinds))}")
        return kinds[0] if kinds else None

    def key(self, index: int) -> str:
        """Return the key of sample `index`."""
        return self.value("key", index)

    def image_bytes(self, index: int) -> bytes:
        """Return the encoded image of sample `index` as stored."""
        return self.member(index, "image_", self.value("image_digest", index))

    def image(self, index: int) -> np.ndarray:
        """Return the image of sample `index`, uint8 (H, W, 3); raises BadInput when the shard is damaged."""
        return images.decode_rgb(self.image_bytes(index))

    def target(self, index: int) -> np.ndarray | None:
        """Return the target of sample `index`, float32 (h, w), NaN = no label; None when it has none.

        Targets are stored lossless as read: (h, w) is the size of the image as found, which is larger than
        that of the stored image when that was scaled down to `collect.max_side`.
        """
        data = self.member(index, "target_")
        return rasters.decode(data) if data else None

    def semantic(self, index: int) -> np.ndarray | None:
        """Return the class labels of sample `index`, uint8 (h, w), 255 = ignore; None when it has none."""
        data = self.member(index, "semantic_")
        return rasters.decode_labels(data) if data else None

    def intrinsics(self, index: int) -> tuple[float, float, float, float] | None:
        """Return (fx, fy, cx, cy) of the stored image of sample `index` in pixels; None when unknown."""
        values = self._intrinsics.iloc[index]
        return None if values.isna().any() else tuple(map(float, values))

    @cached_property
    def _intrinsics(self) -> pd.DataFrame:
        return self.frame(["fx", "fy", "cx", "cy"])

    def shards(self) -> list[tuple[str, np.ndarray]]:
        """Return (shard file name, rows of its samples as an integer array), in the order of the manifest."""
        return list(self._rows_by_shard.items())

    def keys(self, rows: np.ndarray) -> list[str]:
        """Return the keys of the samples `rows`."""
        return self.rows["key"].take(rows).to_pylist()

    @cached_property
    def _rows_by_shard(self) -> dict[str, np.ndarray]:
        column = self.rows["shard"].unify_dictionaries().combine_chunks()
        codes = column.indices.to_numpy()
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        parts = np.split(np.arange(len(codes)), starts[1:]) if starts.size else []
        return {column.dictionary[codes[rows[0]]].as_py(): rows for rows in parts}


class SidecarFolder(_Members):
    """The sidecar of one source, `data/sky/<name>` or `data/pseudo/<name>`: a raster per row of its manifest."""

    name = manifest.SIDECAR
    columns = ("key", "shard", "offset", "size")

    @cached_property
    def suffix(self) -> str:
        """The end of the names of the members, which says their codec; "" without any."""
        return manifest.metadata(self.folder / self.name)["suffix"]

    @property
    def sidecar(self) -> pd.DataFrame:
        """The sidecar table: key, shard, offset, size and what the stage that wrote it added."""
        return self.frame()

    def raster(self, index: int) -> np.ndarray:
        """Return raster `index`: float32 (h, w) with NaN = no label of a `.dar`, bool (h, w) of a `.sky.png`."""
        decode = rasters.decode if self.suffix.endswith(rasters.SUFFIX) else rasters.decode_mask
        return decode(self.member(index))


def missing_parts(source: SourceFolder, scratch: Path, progress: Callable[[int], None]) -> Iterator[SourceFolder]:
    """Return the parts of `source`, a shard each, whose sidecar is not finished in `scratch`.

    `progress` is told at once how many images are in those that are.
    """
    done, shards = finished_shards(scratch), source.shards()
    progress(sum(len(rows) for shard, rows in shards if shard in done))
    return (source.part(shard) for shard, _ in shards if shard not in done)


def finished_shards(scratch: Path) -> set[str]:
    """Return the names of the shards that `write_sidecar_shard` has finished in `scratch`."""
    return {path.with_suffix(".tar").name for path in Path(scratch).glob("shard-*.parquet")}


def write_sidecar_shard(
    scratch: Path,
    source: SourceFolder,
    shard: str,
    suffix: str,
    encoded: Iterable[bytes],
    columns: Mapping[str, Sequence[Any]],
    store: Bucket | None = None,
) -> None:
    """Write the sidecar of the shard named `shard` of `source` into `scratch`, unless it is finished already.

    The shard is kept in `store` when there is one, and only its table in `scratch`.
    `encoded` holds the members `<key>.<suffix>` in the order of the shard, `columns` what the table says of
    them, one value per sample each; both must have as many entries as the shard, else ValueError. `encoded` is
    read one by one and not at all when the shard is finished.
    """
    path = Path(scratch) / shard
    if shard in finished_shards(scratch):
        return
    keys = source.keys(dict(source.shards())[shard])
    written = shards.write_shard(path, ((key, {suffix: data}) for key, data in zip(keys, encoded, strict=True)))
    places = [row["members"][suffix] for row in written]
    offsets, sizes = zip(*places, strict=True)
    own = {"key": keys, "shard": [shard] * len(keys), "offset": offsets, "size": sizes}
    extra = pa.table(dict(columns))
    schema = pa.schema([*manifest.SIDECAR_FIELDS, *extra.schema])
    table = pa.table({**own, **dict(zip(extra.column_names, extra.columns, strict=True))}, schema=schema)
    details = {"shard": shard_store.keep(path, len(keys), store), "suffix": suffix}
    manifest.write_table(path.with_suffix(".parquet"), [table], schema, details)


def join_sidecar(scratch: Path, result: Path, source: SourceFolder) -> None:
    """Join the finished sidecar shards of `source` in `scratch` into the folder `result`.

    Hard-links the shards and writes `sidecar.parquet` in the order of the source's manifest (empty for an empty
    source). Raises ValueError that names the shards which are not finished.
    """
    names = [name for name, _ in source.shards()]
    missing = sorted(set(names) - finished_shards(scratch))
    if missing:
        raise ValueError(f"{len(missing)} shards are not finished: {', '.join(missing[:5])}")
    parts = [(Path(scratch) / name).with_suffix(".parquet") for name in names]
    found = [manifest.metadata(part) for part in parts]
    details = {"shards": [one["shard"] for one in found], "suffix": found[0]["suffix"] if found else ""}
    shards.link_shards(scratch, result, [one["shard"]["name"] for one in found if "uri" not in one["shard"]])
    tables = (manifest.read_table(part) for part in parts)
    manifest.write_table(Path(result) / manifest.SIDECAR, tables, _joined_schema(parts), details)


def _joined_schema(parts: Sequence[Path]) -> pa.Schema:
    # A column may be empty in one shard and hold numbers in the next.
    schemas = [pa.schema(manifest.SIDECAR_FIELDS), *(manifest.schema(part) for part in parts)]
    return pa.unify_schemas(schemas, promote_options="permissive")
