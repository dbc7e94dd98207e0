"""`depth-anything repro`: `dvc repro` that says where it is, how long the rest takes, and what came out."""

from __future__ import annotations

import argparse
from pathlib import Path

from depth_model.errors import UserError
from tasks.commands.shared import purpose
from tasks.commands.summary import summary
from tasks.workspace.outs import refuse_unknown_files
from tasks.workspace.repro import repro


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("repro", help="the whole pipeline, with the time left", description=purpose(run))
    one.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """Bring everything up to date as `dvc repro` does: with the number of each stage and the time left, stages that
    start faster, what a kill broke mended before, and the summary at the end. Stopped, the same command continues.

    Raises UserError outside the folder of the project, and when a stage fails.
    """
    check_project()
    reproduce()
    print()
    summary(given)


def check_project() -> None:
    """Raise UserError outside the folder of a project."""
    if not (Path(".dvc").is_dir() and Path("dvc.yaml").is_file()):
        raise UserError("dvc.yaml: not in this folder; run this in the folder of the project, where params.yaml is")


def reproduce() -> None:
    """Run the graph; prints a line for each stage. What a kill broke of DVC's files, `main` has mended.

    Raises UserError for files of yours in folders that DVC would empty, and when a stage fails.
    """
    refuse_unknown_files(Path.cwd())
    repro(lambda line: print(line, flush=True))
