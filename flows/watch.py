"""Tells Prefect when a watched source has changed, so that an automation can start the flow `data-engine`.

    python -m flows.watch --every 60

Looks at names, sizes and times, as the stage `inventory` does, and opens no file. A source counts as changed when it
differs from what the pipeline listed last and has been the same twice: copying into it is over.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from prefect.events import emit_event

from depth_model import files, readers
from depth_model.errors import UserError
from depth_model.shown import run_command
from tasks.inventory import write_inventory
from tasks.settings import params
from tasks.workspace.paths import inventory_path

EVENT = "depth-anything.source.changed"
RESOURCE = "depth-anything.source"


def listings() -> Iterator[tuple[str, str, str]]:
    """Yield role, name and SHA-256 of the listing of every source with files; one that cannot be read is left out."""
    settings = params.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "listing.json")
        for role in params.ROLES:
            for name, source in getattr(settings.sources, role).items():
                if not source.root:
                    continue
                try:
                    watched = readers.get(source.reader).watch(params.source_root(source), source.chosen_options())
                    write_inventory(path, watched)
                except (UserError, OSError):
                    continue
                yield role, name, files.sha256(path)


class Watch:
    """Which sources have changed: looked at again and again."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], str] = {}
        self.told: dict[tuple[str, str], str] = {}

    def changed(self) -> list[tuple[str, str]]:
        """Return role and name of the sources that have changed and come to rest since the last look."""
        found = []
        for role, name, digest in listings():
            source, listed = (role, name), inventory_path(role, name)
            rests = self.seen.get(source) == digest
            self.seen[source] = digest
            if rests and self.told.get(source) != digest and not (listed.exists() and files.sha256(listed) == digest):
                self.told[source] = digest
                found.append(source)
        return found


def tell(role: str, name: str) -> None:
    """Send the event that a source has changed."""
    emit_event(EVENT, {"prefect.resource.id": f"{RESOURCE}.{role}.{name}"}, payload={"role": role, "source": name})


def main() -> None:
    """Look every so many seconds, until stopped."""
    parser = argparse.ArgumentParser(description="Tell Prefect when a watched source has changed.")
    parser.add_argument("--every", type=float, default=60, help="seconds between two looks (default 60)")
    every, watch = parser.parse_args().every, Watch()
    while True:
        for role, name in watch.changed():
            print(f"{role}/{name} has changed", flush=True)
            tell(role, name)
        time.sleep(every)


if __name__ == "__main__":
    run_command(main)
