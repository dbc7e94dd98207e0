"""Tables: the same bytes each time, whatever the pieces they came in."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depth_model.shards import manifest


def rows(count: int) -> pa.Table:
    return pa.table(
        {
            "source_path": [f"{number}.jpg" for number in range(count)],
            "key": [str(number) for number in range(count)],
            "reason": ["cut"] * count,
        },
        schema=manifest.QUARANTINE_SCHEMA,
    )


@pytest.mark.parametrize("count", [0, 10, 70000, 131072])
def test_the_bytes_do_not_depend_on_the_pieces(tmp_path, count):
    table = rows(count)
    cuts = [0, count // 7, count // 7, count // 2, count]
    pieces = [table.slice(start, end - start) for start, end in pairwise(cuts)]
    details = {"shards": [{"name": "shard-000000.tar", "size": 5}]}
    manifest.write_table(tmp_path / "whole.parquet", [table], manifest.QUARANTINE_SCHEMA, details)
    manifest.write_table(tmp_path / "pieces.parquet", pieces, manifest.QUARANTINE_SCHEMA, details)
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "pieces.parquet").read_bytes()
    assert pq.read_table(tmp_path / "whole.parquet").equals(table)
    assert manifest.metadata(tmp_path / "whole.parquet") == details


def test_chosen_columns_only_are_read(tmp_path):
    path = tmp_path / "table.parquet"
    manifest.write_table(path, [rows(3)], manifest.QUARANTINE_SCHEMA, {})
    assert list(manifest.read_frame(path, ["key"]).columns) == ["key"]
    assert manifest.schema(path).names == ["source_path", "key", "reason"]


def test_a_table_of_other_columns_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises((pa.ArrowInvalid, ValueError)):
        manifest.write_table(tmp_path / "t.parquet", [pa.table({"x": [1]})], manifest.QUARANTINE_SCHEMA, {})
    assert list(tmp_path.iterdir()) == []
