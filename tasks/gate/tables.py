"""What the gate looks at: a table of the sources of a role and tables of their samples, by pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model.errors import UserError
from tasks.gate.suites import ADDED, ANNOTATED, STOOD_BEFORE, Expectation

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 250_000


def _columns(suite: list[Expectation]) -> list[str]:
    named = [value for one in suite for name, value in one.arguments.items() if name.startswith("column")]
    flat = [name for value in named for name in (value if isinstance(value, list) else [value])]
    return [name for name in dict.fromkeys(flat) if name not in ("source", STOOD_BEFORE)]


def table_path(role: str, name: str) -> Path:
    """Return where the manifest, or sidecar, of one source of `role` lies; raises UserError when it is not there."""
    from depth_model.shards import manifest

    path = Path("data", role, name, manifest.SIDECAR if role in ANNOTATED else manifest.MANIFEST)
    if not path.exists():
        raise UserError(f"{path} is not there; 'dvc repro' makes it")
    return path


def sample_pieces(role: str, names: list[str], suite: list[Expectation]) -> Iterator[pd.DataFrame]:
    """Yield what the `suite` of `role` looks at, of all sources `names` in turn, by about 250,000 samples.

    Beside the columns of the tables stand `source` and `stood_before`, whether the key stands earlier in its source.
    Raises UserError for a column that a source does not have.
    """
    import pandas as pd

    from depth_model.shards import manifest

    columns = ["key", *(name for name in _columns(suite) if name != "key")]
    for name in names:
        unknown = sorted(set(columns) - set(manifest.schema(table_path(role, name)).names))
        if unknown:
            raise UserError(f"{ADDED}: {role}/{name} has no column {', '.join(unknown)}")
    waiting: list[pd.DataFrame] = []
    for frame in itertools.chain.from_iterable(_frames(name, table_path(role, name), columns) for name in names):
        waiting.append(frame)
        if sum(map(len, waiting)) >= _AT_ONCE:
            yield pd.concat(waiting, ignore_index=True)
            waiting.clear()
    if waiting:
        yield pd.concat(waiting, ignore_index=True)


def _frames(name: str, path: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    import numpy as np

    from depth_model.shards import manifest
    from depth_model.shards.seen_keys import SeenKeys, hash64

    seen = SeenKeys()
    for piece in manifest.read_pieces(path, columns):
        keys = piece["key"].to_pylist()
        stood_before = seen.repeated(np.fromiter(map(hash64, keys), np.uint64, len(keys)))
        yield piece.to_pandas().assign(source=name, **{STOOD_BEFORE: stood_before})


def sources_table(role: str, sources: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row per source of `known_sources`: name, number of samples, and what the suite of sources looks at."""
    import pandas as pd

    from depth_model.shards import manifest, shard_store

    rows = []
    for name, source in sources.items():
        path = table_path(role, name)
        rows.append(
            {
                "source": name,
                "samples": row_count(path),
                "minimum_count": source["minimum_count"],
                "damaged_shards": shard_store.missing(path.parent, manifest.metadata(path)["shards"]),
                "keys_agree": role not in ANNOTATED or _keys_agree(path, table_path(ANNOTATED[role], name)),
            }
        )
    return pd.DataFrame(rows)


def row_count(path: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows


def _keys_agree(sidecar: Path, annotated: Path) -> bool:
    from depth_model.shards import manifest

    both = itertools.zip_longest(manifest.read_pieces(sidecar, ["key"]), manifest.read_pieces(annotated, ["key"]))
    return all(one is not None and other is not None and one.equals(other) for one, other in both)
