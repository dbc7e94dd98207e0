"""Every fault at random moments on the tiny pipeline, and the table of what became of them.

    python -m tests.faults                                  # as `make test-faults`: all of them
    python -m tests.faults "disk" --share 0.2 --seed 7      # those with "disk" in their name, a fifth of the moments
    python -m tests.faults --page docs/measurements/recovery.md

Faults that this machine cannot have (no right to mount, no compiler, no PostgreSQL, no SeaweedFS) are named and left
out. Ends with 1 when a moment lost something finished, ended in other bytes, or showed a traceback.
"""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.faults.bench import Bench, Cannot
from tests.faults.faults import faults
from tests.faults.table import page, recorded, row, run

REPOSITORY = Path(__file__).parents[2]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", default=[""], help="only faults with one of them in their name")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the moments of each fault, at least one")
    parser.add_argument("--folder", type=Path, help="keep the project and the moments there, and go on from them")
    parser.add_argument("--page", type=Path, help="write the table there")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with ExitStack() as stack:
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        alone(folder, stack)
        bench = Bench(folder.absolute(), REPOSITORY, stack)
        listed = faults(bench, stack)
        for fault in listed:
            if not any(word in fault.name for word in given.words):
                continue
            try:
                run(bench, fault, given.share, given.seed)
                print(row(fault, recorded(bench.folder, fault, given.seed).values()), flush=True)
            except Cannot as reason:
                print(f"left out: {fault.name}: {reason}", file=sys.stderr)
        made = {fault: list(recorded(bench.folder, fault, given.seed).values()) for fault in listed}
    found = {fault: moments for fault, moments in made.items() if moments}
    if given.page:
        page(given.page, found, given.seed)
    sys.exit(not all(one.well for moments in found.values() for one in moments))


def alone(folder: Path, stack: ExitStack) -> None:
    """Keep others out of the folder until `stack` ends; end here if one is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = stack.enter_context(open(folder / ".lock", "a"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"{folder}: other faults are being made here; wait for their end, or give another --folder")


if __name__ == "__main__":
    main()
