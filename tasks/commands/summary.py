"""`depth-anything summary`: what `make demo` prints at its end."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from depth_model import files
from depth_model.errors import UserError
from tasks.commands.shared import purpose
from tasks.workspace.paths import COMPARISON, METRICS

VIEWS = """
report      reports/index.html
MLflow      depth-anything runs      then http://127.0.0.1:5000
Prefect     prefect server start, make worker, prefect deployment run full-pipeline      http://127.0.0.1:4200
DVC         dvc exp show --drop '.*' --keep 'Experiment|^alpha$|mean.*abs_rel'
            dvc metrics show · dvc plots show
(first: source .venv/bin/activate)"""


def lines(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[str]:
    """Yield a table of AbsRel and delta1 of every model on every set of `figures` (reports/metrics.json)."""
    models = list(figures["mean"])
    width = max(map(len, figures))
    yield f"{'':{width}}  " + "".join(f"{model:>22}" for model in models)
    yield f"{'':{width}}  " + f"{'AbsRel':>12}{'delta1':>10}" * len(models)
    for name, measured in figures.items():
        cells = (measured[model] for model in models)
        yield f"{name:{width}}  " + "".join(f"{one['abs_rel']:12.4f}{one['delta1']:10.4f}" for one in cells)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("summary", help="teacher beside student, of the last run", description=purpose(summary))
    one.set_defaults(run=summary)


def verdict() -> Iterator[str]:
    """Yield in words whether the student of the last run got better."""
    from depth_model.evaluation.verdict import told

    yield from told(files.read_json(COMPARISON))


def summary(given: argparse.Namespace) -> None:
    """Print whether the student got better, teacher beside student on every set, and where to look further."""
    if not METRICS.exists():
        raise UserError(f"{METRICS} is not there; run 'dvc repro' first")
    print("\n".join(verdict()))
    if figures := files.read_json(METRICS):
        print("\nRelative depth (AbsRel: lower is better, delta1: higher is better)\n")
        print("\n".join(lines(figures)))
    print(VIEWS)
