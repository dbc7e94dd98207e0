"""`depth-anything accept`: the collection as it is becomes what later ones are compared with."""

from __future__ import annotations

import argparse

from depth_model import files
from depth_model.errors import UserError
from tasks.commands.shared import purpose
from tasks.gate.statistics import PSEUDO
from tasks.settings import params
from tasks.workspace.paths import ACCEPTED, statistics_path


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("accept", help="accept the collection as it is", description=purpose(accept))
    one.set_defaults(run=accept)


def accept(given: argparse.Namespace) -> None:
    """Write the statistics of all roles that have passed the gate, and of pseudo labels where there are any, to
    accepted.json, to be committed."""
    missing = [str(statistics_path(role)) for role in params.ROLES if not statistics_path(role).exists()]
    if missing:
        raise UserError(f"{', '.join(missing)} is not there; 'dvc repro' makes it")
    labeled = [PSEUDO] if statistics_path(PSEUDO).exists() else []  # not yet, before there is a teacher
    accepted = {role: files.read_json(statistics_path(role))["sources"] for role in (*params.ROLES, *labeled)}
    files.write_json(ACCEPTED, accepted)
    print(f"{ACCEPTED}: {sum(map(len, accepted.values()))} sources accepted; commit it")
