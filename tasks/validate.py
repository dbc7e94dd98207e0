"""Stages `validate_<role>`: the gate and the join of all sources of a role.

Great Expectations checks the manifests (or sidecars) of all sources of a role together. When all expectations
hold, `data/catalog/<role>.json` lists what training may read, in the order of params.yaml; otherwise there is a
line for every expectation that fails, and no catalog. Opens no shard. `data/statistics/<role>.json` says what the
sources hold; what has moved beyond `drift.tolerance` since it was accepted is a warning, or with `drift.action: stop`
the end.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from tasks import collection, entry, params
from tasks.expectations import ADDED, ANNOTATED, SAMPLE_SUITES, SOURCE_SUITES, Expectation, sample_suite

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5


def _columns(suite: list[Expectation]) -> list[str]:
    named = [value for one in suite for name, value in one.arguments.items() if name.startswith("column")]
    flat = [name for value in named for name in (value if isinstance(value, list) else [value])]
    return [name for name in dict.fromkeys(flat) if name != "source"]


def table_path(role: str, name: str) -> Path:
    """Return where the manifest, or sidecar, of one source of `role` lies; raises StageError when it is not there."""
    from depth_model.datasets import manifest

    path = Path("data", role, name, manifest.SIDECAR if role in ANNOTATED else manifest.MANIFEST)
    if not path.exists():
        raise entry.StageError(f"{path} is not there; 'dvc repro' makes it")
    return path


def samples_table(role: str, names: list[str], suite: list[Expectation]) -> pd.DataFrame:
    """Return the columns that the `suite` of `role` looks at, of all sources `names`, with a column `source`.

    Raises StageError for a column that a source does not have.
    """
    import pandas as pd

    from depth_model.datasets import manifest

    columns = ["key", *(name for name in _columns(suite) if name != "key")]
    for name in names:
        unknown = sorted(set(columns) - set(manifest.schema(table_path(role, name)).names))
        if unknown:
            raise entry.StageError(f"{ADDED}: {role}/{name} has no column {', '.join(unknown)}")
    frames = [manifest.read_frame(table_path(role, name), columns) for name in names]
    for name, frame in zip(names, frames, strict=True):
        frame["source"] = name
    return pd.concat(frames, ignore_index=True)


def sources_table(role: str, sources: Mapping[str, params.Source]) -> pd.DataFrame:
    """Return a row per source: its name, how many samples it has, and what the suite of sources looks at."""
    import pandas as pd

    from depth_model.datasets import manifest, shard_store

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
    from depth_model.datasets import manifest

    return manifest.read_table(sidecar, ["key"])["key"].equals(manifest.read_table(annotated, ["key"])["key"])


def faults(table: pd.DataFrame, suite: list[Expectation], index: list[str]) -> list[str]:
    """Return a line for every expectation of `suite` that `table` fails, with rows named by the columns `index`."""
    results = checked(table, suite, index).results
    failed = {result.expectation_config.meta["number"]: result for result in results if not result.success}
    return [_line(suite[number], failed[number], index) for number in sorted(failed)]


def checked(table: pd.DataFrame, suite: list[Expectation], index: list[str], name: str = "suite") -> Any:
    """Return what Great Expectations found out about `table`, an ExpectationSuiteValidationResult of suite `name`.

    Rows that do not fit are named by the columns `index`. Raises StageError for an expectation that makes no sense.
    """
    # Set before the import: Great Expectations must not phone home.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    os.environ["DO_NOT_TRACK"] = "true"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("data").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})
    form = {"result_format": "SUMMARY", "unexpected_index_column_names": index, "partial_unexpected_count": _SHOWN}
    wanted = [
        # One suite for all: its expectations share one pass over the columns, and come back in another order.
        _wanted(number, one)
        for number, one in enumerate(suite)
    ]
    return batch.validate(gx.ExpectationSuite(name=name, expectations=wanted), result_format=form)


def _wanted(number: int, expectation: Expectation) -> Any:
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from pydantic.v1 import ValidationError

    given = {"type": expectation.type, "kwargs": expectation.arguments, "meta": {"number": number}}
    try:
        return ExpectationConfiguration(**given).to_domain_obj()
    except (GreatExpectationsError, ValidationError) as error:
        message = " ".join(str(error).split())
        raise entry.StageError(f"{ADDED}: {expectation.says!r}: {expectation.type}: {message}") from error


def _line(expectation: Expectation, result: Any, index: list[str]) -> str:
    if "observed_value" in result.result and "unexpected_count" not in result.result:
        return f"expected that {expectation.says}; observed {result.result['observed_value']}"
    if "unexpected_count" not in result.result:
        raise RuntimeError(f"Great Expectations could not check that {expectation.says}: {result.exception_info}")
    shown = [_row(row, index) for row in result.result["partial_unexpected_index_list"]]
    count, total = result.result["unexpected_count"], result.result["element_count"]
    more = ", ..." if count > len(shown) else ""
    return f"expected that {expectation.says}; not so for {count} of {total}: {', '.join(shown)}{more}"


def _row(row: Mapping[str, Any], index: list[str]) -> str:
    name = "/".join(str(row[column]) for column in index)
    values = ", ".join(f"{column} = {value}" for column, value in row.items() if column not in index)
    return f"{name} ({values})" if values else name


def _summary(role: str, path: Path) -> dict[str, Any]:
    from depth_model.datasets import manifest

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
    found = faults(table, SOURCE_SUITES[role], ["source"])
    # The sidecar of an empty source does not know the columns that its stage would have added.
    filled = table["source"][table["samples"] > 0].tolist()
    if filled:
        suite = sample_suite(role)
        found += faults(samples_table(role, filled, suite), suite, ["source", "key"])
    if found:
        raise entry.StageError("\n".join(f"{role}: {line}" for line in found))
    return {name: _summary(role, table_path(role, name)) for name in sources}


def _describe(role: str, sources: Mapping[str, params.Source], drift: params.Drift) -> None:
    """Write the statistics of `role`; warn of drift beyond the tolerance, or raise StageError when that should stop."""
    description = collection.described(role, sources)
    moved = collection.beyond(description, drift.tolerance)
    against = f"compared with {collection.ACCEPTED} (drift.tolerance {drift.tolerance:g})"
    lines = [f"{role}: {line}, {against}" for line in moved]
    files.write_json(collection.statistics_path(role), description)
    if lines and drift.action == "stop":
        raise entry.StageError("\n".join([*lines, "'python -m tasks.accept' accepts the collection as it is now"]))
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
