"""The tables beside the shards: manifest, quarantine and sidecar, as Parquet files with the same bytes each time.

`manifest.parquet` has a row per sample, `quarantine.parquet` one per refused input, `sidecar.parquet` one per
annotation of a sample by a later stage. Tables are Arrow columns from end to end: millions of rows cost no
Python objects. The list of shards (name, size, SHA-256, samples) is in the metadata of the Parquet file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from depth_model import files

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.parquet"
QUARANTINE = "quarantine.parquet"
SIDECAR = "sidecar.parquet"

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("image_suffix", pa.string(), nullable=False),
        pa.field("image_offset", pa.int64(), nullable=False),
        pa.field("image_size", pa.int64(), nullable=False),
        pa.field("target_offset", pa.int64(), nullable=False),  # offset and size are 0 where there is no member
        pa.field("target_size", pa.int64(), nullable=False),
        pa.field("semantic_offset", pa.int64(), nullable=False),
        pa.field("semantic_size", pa.int64(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),  # of the stored image, upright, in pixels
        pa.field("width", pa.int32(), nullable=False),
        pa.field("target_kind", pa.string()),
        pa.field("codec", pa.string()),
        pa.field("minimum", pa.float32()),  # of the labeled pixels
        pa.field("maximum", pa.float32()),
        pa.field("valid_fraction", pa.float32()),
        pa.field("fingerprint", pa.binary(32), nullable=False),  # of the whole image and of its center
        pa.field("image_digest", pa.uint64(), nullable=False),  # of the encoded bytes
        pa.field("fx", pa.float64()),  # pixels of the stored image
        pa.field("fy", pa.float64()),
        pa.field("cx", pa.float64()),
        pa.field("cy", pa.float64()),
        pa.field("source_path", pa.string(), nullable=False),
        pa.field("split", pa.string()),
    ]
)
QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("source_path", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
SIDECAR_FIELDS = (
    pa.field("key", pa.string(), nullable=False),
    pa.field("shard", pa.string(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("size", pa.int64(), nullable=False),
)

_REPEATED = ["shard", "image_suffix", "target_kind", "codec", "split"]
_ROWS_AT_ONCE = 65536


def write_table(path: Path, tables: Iterable[pa.Table], schema: pa.Schema, metadata: Mapping[str, Any]) -> None:
    """Write `tables` below each other as the Parquet file `path`, atomically and with the same bytes each time.

    Rows are regrouped by 65536, so that memory stays flat and the groups do not depend on how the rows came.
    `metadata` holds JSON values. Raises pyarrow.ArrowInvalid when a table does not have `schema`.
    """
    with files.atomic_path(path) as temporary:
        # created_by names the version of pyarrow; nothing else in the file depends on when or where it was made
        with pq.ParquetWriter(temporary, schema, compression="zstd", write_statistics=True) as writer:
            for group in _regrouped(tables, schema):
                writer.write_table(group, row_group_size=_ROWS_AT_ONCE)
            writer.add_key_value_metadata({name: json.dumps(value) for name, value in metadata.items()})


def _regrouped(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    waiting = schema.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table.cast(schema)])
        while waiting.num_rows >= _ROWS_AT_ONCE:
            yield waiting.slice(0, _ROWS_AT_ONCE).combine_chunks()
            waiting = waiting.slice(_ROWS_AT_ONCE).combine_chunks()
    if waiting.num_rows:
        yield waiting.combine_chunks()


def metadata(path: Path) -> dict[str, Any]:
    """Return the JSON values that `write_table` put into the Parquet file `path`, without reading its rows."""
    stored = pq.read_metadata(path).metadata or {}
    return {name.decode(): json.loads(value) for name, value in stored.items() if name != b"ARROW:schema"}


def schema(path: Path) -> pa.Schema:
    """Return the columns of the Parquet file `path` without its metadata."""
    return pq.read_schema(path).remove_metadata()


def shard_entry(path: Path, samples: int) -> dict[str, Any]:
    """Return what a table records of the finished shard `path`: name, size in bytes, sha256, samples."""
    return {"name": path.name, "size": path.stat().st_size, "sha256": files.sha256(path), "samples": samples}


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the Parquet table `path`, or only `columns`; columns of few distinct values are dictionaries."""
    # Not pq.read_table: it costs twice as much for the small table of one shard, and there are very many of those.
    known = pq.read_metadata(path)
    repeated = [name for name in _REPEATED if name in known.schema.names]
    with pq.ParquetFile(path, metadata=known, read_dictionary=repeated) as file:
        return file.read(columns)


def read_pieces(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield `columns` of the Parquet table `path` by 65536 rows, as they were written, one piece in memory."""
    repeated = [name for name in _REPEATED if name in columns]
    with pq.ParquetFile(path, read_dictionary=repeated) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns)


def read_frame(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the Parquet table `path`, or only `columns`, as a DataFrame with a row number as index."""
    return read_table(path, columns).to_pandas()
