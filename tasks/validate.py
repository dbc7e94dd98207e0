"""Stages `validate_<role>`: the gate and the join of all sources of a role.

Great Expectations checks the manifests (or sidecars) of all sources of a role together. When all expectations
hold, `data/catalog/<role>.json` lists what training may read, in the order of params.yaml; otherwise there is a
line for every expectation that fails, and no catalog. Opens no shard. `data/statistics/<role>.json` says what the
sources hold; what has moved beyond `drift.tolerance` since it was accepted is a warning, or with `drift.action: stop`
the end.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from tasks import entry
from tasks.gate import checks, statistics
from tasks.gate.suites import (
    ADDED,
    ANNOTATED,
    SAMPLE_SUITES,
    SOURCE_SUITES,
    STOOD_BEFORE,
    Expectation,
    sample_suite,
)
from tasks.settings import params

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 250_000


def _columns(suite: list[Expectation]) -> list[str]:
    named = [value for one in suite for name, value in one.arguments.items() if name.startswith("column")]
    flat = [name for value in named for name in (value if isinstance(value, list) else [value])]
    return [name for name in dict.fromkeys(flat) if name not in ("source", STOOD_BEFORE)]


def table_path(role: str, name: str) -> Path:
    """Return where the manifest, or sidecar, of one source of `role` lies; raises StageError when it is not there."""
    from depth_model.shards import manifest

    path = Path("data", role, name, manifest.SIDECAR if role in ANNOTATED else manifest.MANIFEST)
    if not path.exists():
        raise entry.StageError(f"{path} is not there; 'dvc repro' makes it")
    return path


def sample_pieces(role: str, names: list[str], suite: list[Expectation]) -> Iterator[pd.DataFrame]:
    """Yield what the `suite` of `role` looks at, of all sources `names` in turn, by about 250,000 samples.

    Beside the columns of the tables stand `source` and `stood_before`, whether the key stands earlier in its source.
    Raises StageError for a column that a source does not have.
    """
    import pandas as pd

    from depth_model.shards import manifest

    columns = ["key", *(name for name in _columns(suite) if name != "key")]
    for name in names:
        unknown = sorted(set(columns) - set(manifest.schema(table_path(role, name)).names))
        if unknown:
            raise entry.StageError(f"{ADDED}: {role}/{name} has no column {', '.join(unknown)}")
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


def sources_table(role: str, sources: Mapping[str, params.Source]) -> pd.DataFrame:
    """Return a row per source: its name, how many samples it has, and what the suite of sources looks at."""
    import pandas as pd

    from depth_model.shards import manifest, shard_store

    rows = []
    for name, source in sources.items():
        path = table_path(role, name)
        rows.append(
            {
                "source": name,
                "samples": _rows(path),
                "minimum_count": source.minimum_count,
                "damaged_shards": shard_store.missing(path.parent, manifest.metadata(path)["shards"]),
                "keys_agree": role not in ANNOTATED or _keys_agree(path, table_path(ANNOTATED[role], name)),
            }
        )
    return pd.DataFrame(rows)


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows


def _keys_agree(sidecar: Path, annotated: Path) -> bool:
    from depth_model.shards import manifest

    both = itertools.zip_longest(manifest.read_pieces(sidecar, ["key"]), manifest.read_pieces(annotated, ["key"]))
    return all(one is not None and other is not None and one.equals(other) for one, other in both)


def _summary(role: str, path: Path) -> dict[str, Any]:
    from depth_model.shards import manifest

    summary = {f"{path.stem}_sha256": files.sha256(path), "samples": _rows(path)}
    if role not in ANNOTATED:
        summary["quarantined"] = _rows(path.with_name(manifest.QUARANTINE))
    return summary | {"bytes": sum(shard["size"] for shard in manifest.metadata(path)["shards"])}


def validate(role: str, sources: Mapping[str, params.Source]) -> dict[str, Any]:
    """Return the catalog of `role` when all its `sources` hold what is expected of them.

    Raises StageError with a line for every expectation that fails, or when a source is not collected.
    """
    if not sources:
        return {}
    table = sources_table(role, sources)
    found = checks.faults([table], SOURCE_SUITES[role], ["source"])
    # The sidecar of an empty source does not know the columns that its stage would have added.
    filled = table["source"][table["samples"] > 0].tolist()
    if filled:
        found += _sample_faults(role, filled)
    if found:
        raise entry.StageError("\n".join(f"{role}: {line}" for line in found))
    return {name: _summary(role, table_path(role, name)) for name in sources}


def _sample_faults(role: str, names: list[str]) -> list[str]:
    import pandas as pd

    suite, index = sample_suite(role), ["source", "key"]
    by_row = [one for one in suite if checks.judges_rows(one)]
    found = checks.faults(sample_pieces(role, names, by_row), by_row, index)
    if others := [one for one in suite if one not in by_row]:
        whole = pd.concat(sample_pieces(role, names, others), ignore_index=True)
        found += checks.faults([whole], others, index)
    return found


def _describe(role: str, sources: Mapping[str, params.Source], drift: params.Drift) -> None:
    """Write the statistics of `role`; warn of drift beyond the tolerance, or raise StageError when that should stop."""
    description = statistics.described(role, sources)
    moved = statistics.beyond(description, drift.tolerance)
    against = f"compared with {statistics.ACCEPTED} (drift.tolerance {drift.tolerance:g})"
    lines = [f"{role}: {line}, {against}" for line in moved]
    files.write_json(statistics.statistics_path(role), description)
    if lines and drift.action == "stop":
        raise entry.StageError("\n".join([*lines, "'python -m tasks.commands.accept' accepts it"]))
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def main() -> None:
    """Validate the role that the command line names and write `data/catalog/<role>.json`."""
    parser = argparse.ArgumentParser(prog="python -m tasks.validate", description=__doc__)
    parser.add_argument("role", choices=sorted(SAMPLE_SUITES))
    role = parser.parse_args().role
    settings = params.load()
    sources = getattr(settings.sources, ANNOTATED.get(role, role))
    catalog = validate(role, sources)
    if role not in ANNOTATED:
        _describe(role, sources, settings.drift)
    files.write_json(Path("data", "catalog", f"{role}.json"), catalog)
    for name, summary in catalog.items():
        refused = f", {summary['quarantined']} in quarantine" if summary.get("quarantined") else ""
        print(f"{role}/{name}: {summary['samples']} samples{refused}", file=sys.stderr)


if __name__ == "__main__":
    entry.run(main)
