"""Accept the collection as it is: what later ones are compared with. Writes `accepted.json`, to be committed."""

from __future__ import annotations

import argparse

from depth_model import files
from tasks import entry
from tasks.settings import params
from tasks.workspace.paths import ACCEPTED, statistics_path


def main() -> None:
    """Write the statistics of all roles that have passed the gate to `accepted.json`."""
    argparse.ArgumentParser(prog="python -m tasks.commands.accept", description=__doc__).parse_args()
    missing = [str(statistics_path(role)) for role in params.ROLES if not statistics_path(role).exists()]
    if missing:
        raise entry.StageError(f"{', '.join(missing)} is not there; 'dvc repro' makes it")
    accepted = {role: files.read_json(statistics_path(role))["sources"] for role in params.ROLES}
    files.write_json(ACCEPTED, accepted)
    print(f"{ACCEPTED}: {sum(map(len, accepted.values()))} sources accepted; commit it")


if __name__ == "__main__":
    entry.run(main)
