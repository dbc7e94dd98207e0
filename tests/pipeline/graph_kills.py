"""The whole graph of the tiny world under random kills: after each `depth-anything repair`, then `dvc repro` again.

    python -m tests.pipeline.graph_kills 200 --seed 1            # as many kills, however many runs they need
    python -m tests.pipeline.graph_kills 200 --minutes 30        # what fits into that time

The ways to kill are those of tests/tasks/workspace/dvc_kills.py, but nobody waits for a stage that outlives DVC: the
next run starts beside it. A run that comes to its end must leave the files and bytes of the undisturbed first one;
then everything is thrown away and the next begins from nothing.
"""

from __future__ import annotations

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.pipeline.conftest import make_project
from tests.pipeline.kill_matrix import digests
from tests.tasks.workspace import dvc_kills
from tests.tasks.workspace.dvc_kills import HOOK, KILLS, is_damaged

LONGEST = 30.0
"""Seconds after which a run is killed at the latest: some stages end in that time, so that the runs get on."""


class Struck:
    """The project, the seeded choice of kills, and the counts of what became of them."""

    def __init__(self, folder: Path, repository: Path, seed: int) -> None:
        (folder / "project").mkdir()
        (folder / "hook").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(HOOK)
        self.hook, self.log = folder / "hook", folder / "said.log"
        self.project = make_project(folder / "project", repository)
        self.choose, self.counts = random.Random(seed), Counter()
        self.project.run("dvc", "repro")
        self.undisturbed = self.results()

    def results(self) -> dict[str, str]:
        """Return the digest of every file that makes a result, and the name of every other below the outs."""
        found = {}
        for out in ("data", "models"):
            folder = self.project.folder / out
            paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".gitignore"]  # DVC's
            names = {path.relative_to(folder).as_posix() for path in paths}
            found |= {f"{out}/{name}": "" for name in names}
            found |= {f"{out}/{name}": digest for name, digest in digests(folder).items()}
        return found

    def attempt(self) -> str | None:
        """Run `dvc repro`; return how it was killed, None when it came to its end."""
        aimed = self.choose.random() < 0.5
        process = self._start(self.choose.randrange(2**32) if aimed else None)
        try:
            process.wait(None if aimed else self.choose.uniform(0.3, LONGEST))
        except subprocess.TimeoutExpired:
            how = self.choose.choice(KILLS)
            dvc_kills.strike(process, how)
            return how
        if process.returncode == -signal.SIGKILL:
            return "SIGKILL in a write"
        if process.returncode:
            self.fault(f"dvc repro ended with {process.returncode}:\n{self.log.read_text()[-3000:]}")
        return None

    def _start(self, seed: int | None) -> subprocess.Popen[str]:
        """Start `dvc repro` at the head of a group of its own; with a seed it kills itself in a random write."""
        with open(self.log, "w") as log:
            return dvc_kills.start(self.project.folder, seed, self.hook, self.project.environment, log)

    def fault(self, what: str) -> None:
        """Count and tell what must not be."""
        self.counts["FAULTS"] += 1
        print(f"FAULT: {what}", file=sys.stderr, flush=True)

    def mend(self) -> None:
        """Give the documented command, and count what it says it mended."""
        self.counts.update(f"{name} broken" for name in is_damaged(self.project.folder))
        said = self.project.run("depth-anything", "repair")
        self.counts.update(f"{line.split()[1]} mended" for line in said.splitlines() if line.startswith("mended: "))
        if left := is_damaged(self.project.folder):
            self.fault(f"{left} are broken after the repair, which said: {said}")

    def conclude(self) -> None:
        """Compare what a run that came to its end left, and throw everything away."""
        self.counts["runs to the end"] += 1
        found = self.results()
        both = found.keys() | self.undisturbed.keys()
        if differ := sorted(name for name in both if found.get(name) != self.undisturbed.get(name)):
            self.fault(f"other bytes: {differ}")
        with closing(sqlite3.connect(self.project.folder / "mlflow.db")) as database:
            if (said := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                self.fault(f"mlflow.db: {said}")
        self.project.run("git", "clean", "-fdxq")


def kill_often(struck: Struck, kills: int, minutes: float) -> Counter[str]:
    """Kill so many times, or for so long; the last run is left alone."""
    deadline = time.monotonic() + minutes * 60
    while struck.counts["kills"] < kills and time.monotonic() < deadline:
        how = struck.attempt()
        if how is None:
            struck.conclude()
            continue
        struck.counts.update(["kills", how])
        struck.mend()
        print(f"{struck.counts['kills']} {how}", flush=True)
    struck.project.run("dvc", "repro")
    struck.conclude()
    return struck.counts


def main() -> None:
    """Kill and print the counts; ends with 1 when a run failed or left other bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        struck = Struck(Path(folder), Path(__file__).parents[2], given.seed)
        counts = kill_often(struck, given.kills, given.minutes)
    print(f"seed {given.seed}: {dict(counts)}")
    sys.exit(bool(counts["FAULTS"]))


if __name__ == "__main__":
    main()
