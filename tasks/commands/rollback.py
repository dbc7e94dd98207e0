"""`depth-anything rollback`: the champion of a model back to the version before."""

from __future__ import annotations

import argparse

from tasks.commands.shared import purpose
from tasks.tracking import champions, registry


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser(
        "rollback", help="give 'champion' back to an earlier version", description=purpose(rollback)
    )
    one.add_argument("model", metavar="KIND", help="teacher, student, metric/NAME, semantic/NAME, or a registered name")
    one.add_argument("--to", metavar="VERSION", help="default: the version that was the champion before")
    one.add_argument("--why", default="no reason given", help="kept with the move")
    one.set_defaults(run=rollback)


def rollback(given: argparse.Namespace) -> None:
    """Give 'champion' back to the version that held it before. The version that held it does not return by its figures;
    --to takes it again. The move is recorded in the registry.

    Raises UserError when there is no such model or version, or none before.
    """
    name = given.model if given.model.startswith(registry.PREFIX) else registry.registered_name(given.model)
    print(champions.roll_back(name, given.to, given.why))
