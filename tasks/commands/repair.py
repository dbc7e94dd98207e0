"""`depth-anything repair`: what a kill broke of DVC's files, and what a bad disk broke of its cache."""

from __future__ import annotations

import argparse

from depth_model.errors import UserError
from tasks.commands.shared import purpose
from tasks.workspace import repair
from tasks.workspace.outs import refuse_unknown_files
from tasks.workspace.scrub import scrub


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("repair", help="mend what a kill broke of DVC", description=purpose(run))
    one.add_argument("--cache", action="store_true", help="read all of DVC's cache, too, and remove what is damaged")
    one.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """Mend dvc.lock and .dvc/tmp/rwlock, which DVC leaves half written when it is killed in the middle, and say what
    was mended. `make`, the flow and the other commands do so by themselves; a bare `dvc repro` does not. DVC also lists
    anew what there is to push and pull: after a kill it may take a part for the whole, without a word. With --cache
    also look for objects of DVC's cache that a bad disk has changed, which DVC would give back as they are.

    Raises UserError outside a DVC project, and for files of yours in folders that DVC would empty.
    """
    root = repair.project_root()
    if root is None:
        raise UserError("no DVC project in this folder or above it; run this in the project's folder")
    lines = repair.mend(root) + (scrub(root) if given.cache else [])
    repair.collect_anew(root)
    print(
        "\n".join(lines) or f"nothing to mend: dvc.lock and .dvc/tmp/rwlock are whole{', and the cache' * given.cache}"
    )
    refuse_unknown_files(root)
