"""The paper's ablations (Tables 6, 9, 12, 13, the auxiliary task of 3.3) as DVC experiments on the params.yaml here.

    python -m experiments.ablations table-9 --seeds 1 2 3      # run what is missing, then show the table
    python -m experiments.ablations table-9 --commands         # only print the `dvc exp run` commands
    python -m experiments.ablations table-9 --show             # only show what was measured, in any setting

Each row and seed is one experiment in a temporary copy (`dvc exp run --temp`), so params.yaml stays as it is. What was
measured goes to results/ablations.jsonl, a line for each experiment ever run, which is only ever added to. One that
stands there with the same parameters and code is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.comparison.ablations import read_results, spread
from depth_model.errors import UserError
from depth_model.shown import run_command
from experiments.results import TABLES, Row, add_result, rows_of
from tasks.settings import params

METRIC = "abs_rel"
CODE = ("depth_model", "tasks", "dvc.yaml")


def experiment(table: str, place: int, seed: int, setting: str) -> str:
    """Return the name of an experiment; `setting` is the digest of parameters and code."""
    return f"{table}-row{place}-seed{seed}-{setting[:8]}"


def command(row: Row, seed: int, name: str, queue: bool = False) -> list[str]:
    """Return the `dvc exp run` of one row and seed, queued or run at once in a temporary copy."""
    changes = [word for change in (f"seed={seed}", *row.changes) for word in ("-S", change)]
    return ["dvc", "exp", "run", "--queue" if queue else "--temp", "-n", name, *changes]


def render(table: str, rows: Sequence[Row], results: Sequence[Mapping[str, Any]], setting: str) -> str:
    """Return a Markdown table of AbsRel, mean ± sample deviation over seeds on each set, beside the paper's mean.

    Only experiments of `setting` count, so that no cell mixes parameters or code. The paper's mean is over its own six
    sets: levels cannot be compared, only the order of rows.
    """
    chosen = [one for one in results if one["table"] == table and one["setting"] == setting]
    sets = list(chosen[0]["metrics"]) if chosen else []
    lines = [["", *sets, "seeds", "paper, mean of its sets"], ["---"] + ["---:"] * (len(sets) + 2)]
    for row in rows:
        own = [one for one in chosen if one["row"] == row.label]
        cells = [spread([one["metrics"][name][row.model][METRIC] for one in own]) for name in sets]
        lines.append([row.label, *cells, str(len(own)), _published(table, row.label)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def every_setting(table: str, rows: Sequence[Row], results: Sequence[Mapping[str, Any]], current: str) -> str:
    """Return the table of each setting in which something of `table` was measured, oldest first, `current` last."""
    before = [one["setting"] for one in results if one["table"] == table and one["setting"] != current]
    texts = [
        f"Setting {one[:8]}, other parameters or code than now:\n\n{render(table, rows, results, one)}\n"
        for one in dict.fromkeys(before)
    ]
    now = f"Setting {current[:8]}, parameters and code as now:\n\n{render(table, rows, results, current)}"
    return "\n".join([*texts, now])


def _published(table: str, label: str) -> str:
    from depth_model.comparison.tables import paper_tables

    one = paper_tables().get(table.removeprefix("table-"))
    if one is None or label not in one.rows:
        return "–"
    values = [
        value
        for (name, metric), value in zip(one.columns, one.rows[label], strict=True)
        if metric == METRIC and name != "mean"
    ]
    return f"{statistics.mean(values):.3f}"


def _without(settings: params.Params, *sections: str) -> dict[str, Any]:
    return {name: value for name, value in asdict(settings).items() if name not in sections}


def setting_of(settings: params.Params) -> str:
    """Return the digest of parameters, without the seed, and of the committed code that measures.

    Raises UserError when that code was changed and not committed: a result must say what made it.
    """
    if _git("status", "--porcelain", "--", *CODE):
        raise UserError(f"{', '.join(CODE)}: commit the changes there before you measure with them")
    code = _git("rev-parse", *(f"HEAD:{path}" for path in CODE)).split()
    return files.sha256_of_json([_without(settings, "seed", "machine", "resume"), code])


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout


def run_table(table: str, seeds: Sequence[int], settings: params.Params) -> None:
    """Run the experiments of `table`, a key of TABLES, as `run_rows` does."""
    run_rows(table, rows_of(table, list(settings.sources.labeled)), seeds, settings, measured)


def run_rows(
    table: str,
    rows: Sequence[Row],
    seeds: Sequence[int],
    settings: params.Params,
    read: Callable[[str], dict[str, Any]],
) -> None:
    """Run the experiments of `rows` that the results file lacks, seed by seed; each result is kept at once.

    `read` gives the figures of an experiment by its name: set -> model -> metric -> value. Raises UserError when an
    experiment fails; those before it are kept.
    """
    setting = setting_of(settings)
    for seed in seeds:
        for place, row in enumerate(rows):
            done = {(one["table"], one["row"], one["seed"], one["setting"]) for one in read_results()}
            if (table, row.label, seed, setting) in done:
                continue
            name = experiment(table, place, seed, setting)
            words = command(row, seed, name)
            print(shlex.join(words), flush=True)
            if not _finished(name):
                _run(words)
            result = {"table": table, "row": row.label, "seed": seed, "setting": setting, "experiment": name}
            result["commit"] = _git("rev-parse", "HEAD").strip()
            parameters = _without(settings, "resume")
            add_result(result | {"changes": row.changes, "parameters": parameters, "metrics": read(name)})


def _run(words: list[str]) -> None:
    code = subprocess.run([sys.executable, "-m", *words], check=False, env=_environment()).returncode
    if code:
        raise UserError(f"{shlex.join(words)} ended with {code}; results before it are kept, the same command goes on")


def _finished(name: str) -> bool:
    """Whether there is an experiment `name`: one that was killed before its result was kept is not run again."""
    listed = _git("for-each-ref", "--format=%(refname)", "refs/exps").split()
    return any(one.rpartition("/")[2] == name for one in listed)


def _environment() -> dict[str, str]:
    """Return the environment of an experiment, whose stages start the first python on PATH: this one."""
    scripts = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": scripts + os.pathsep + os.environ.get("PATH", os.defpath)}


def measured(name: str) -> dict[str, Any]:
    """Return reports/metrics.json of the experiment `name`: set -> model -> metric -> value."""
    import dvc.api

    return json.loads(dvc.api.read("reports/metrics.json", rev=name))


def main() -> None:
    """Run, list or show one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=list(TABLES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--commands", action="store_true", help="print the commands of a queue instead")
    parser.add_argument("--show", action="store_true", help="run nothing; print what was measured in any setting")
    given = parser.parse_args()
    settings = params.load()
    rows, setting = rows_of(given.table, list(settings.sources.labeled)), setting_of(settings)
    if given.commands:
        for seed in given.seeds:
            for place, row in enumerate(rows):
                name = experiment(given.table, place, seed, setting)
                print(shlex.join(command(row, seed, name, queue=True)))
        return
    if given.show:
        print(every_setting(given.table, rows, read_results(), setting))
        return
    run_table(given.table, given.seeds, settings)
    print(render(given.table, rows, read_results(), setting))


if __name__ == "__main__":
    run_command(main)
