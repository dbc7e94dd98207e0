"""Accept the collection as it is: what later ones are compared with. Writes `accepted.json`, to be committed."""

from __future__ import annotations

import argparse
import json

from depth_model import files
from tasks import entry
from tasks.gate.statistics import ACCEPTED, statistics_path
from tasks.settings import params


def main() -> None:
    """Write the statistics of all roles that have passed the gate to `accepted.json`."""
    argparse.ArgumentParser(prog="python -m tasks.commands.accept", description=__doc__).parse_args()
    missing = [str(statistics_path(role)) for role in params.ROLES if not statistics_path(role).exists()]
    if missing:
        raise entry.StageError(f"{', '.join(missing)} is not there; 'dvc repro' makes it")
    accepted = {role: json.loads(statistics_path(role).read_text(encoding="utf-8"))["sources"] for role in params.ROLES}
    files.write_json(ACCEPTED, accepted)
    print(f"{ACCEPTED}: {sum(map(len, accepted.values()))} sources accepted; commit it")


if __name__ == "__main__":
    entry.run(main)
