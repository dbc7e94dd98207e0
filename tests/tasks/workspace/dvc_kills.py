"""DVC killed at random moments on a project of trivial stages with a long dvc.lock, mended and started again.

    python -m tests.tasks.workspace.dvc_kills 300 --seed 1

Half of the kills come after a random time: SIGKILL or SIGTERM of the group, or SIGKILL of DVC alone. The other half
strike inside a write of dvc.lock or rwlock, after a random number of characters. After each, `repair.mend` must
leave a project in which `dvc repro` goes on, to the outs of an undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tasks.workspace import repair

STAGES, VALUES = 3, 100
GRAPH = """\
stages:
  write:
    foreach: {names}
    do:
      cmd: {python} -c "import sys; sys.path.insert(0, '{code}'); from tasks.workspace import repair; repair.keep(); \
open('${{item}}.txt', 'w').write(open('seed.txt').read() + '${{item}}')"
      deps: [seed.txt]
      params: [values]
      outs: ["${{item}}.txt"]
"""
HOOK = """
import builtins, os, random, signal
_open, _random = builtins.open, random.Random(os.environ.get("KILL_SEED"))
ODDS = {"dvc.lock": 0.3, "rwlock": 0.03}

class _Cut:
    def __init__(self, handle, left):
        self.handle, self.left = handle, left
    def write(self, text):
        self.handle.write(text[:self.left])
        if len(text) > self.left:
            self.handle.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= len(text)
    def __getattr__(self, name):
        return getattr(self.handle, name)
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.handle.close()

def _opened(file, mode="r", *rest, **options):
    name = os.path.basename(str(file))
    written = "w" in mode and name in ODDS
    size = os.path.getsize(file) if written and os.path.exists(file) else 0
    handle = _open(file, mode, *rest, **options)
    return _Cut(handle, _random.randrange(size or 60)) if written and _random.random() < ODDS[name] else handle

if "KILL_SEED" in os.environ:
    builtins.open = _opened
"""
KILLS = ("SIGKILL of the group", "SIGTERM of the group", "SIGKILL of DVC alone")


def make(folder: Path) -> None:
    """Make the project."""
    names = [f"s{number}" for number in range(STAGES)]
    code = Path(__file__).parents[3]
    (folder / "dvc.yaml").write_text(GRAPH.format(names=json.dumps(names), python=sys.executable, code=code))
    (folder / "params.yaml").write_text(json.dumps({"values": {f"k{n:03d}": n for n in range(VALUES)}}))
    (folder / "seed.txt").write_text("0 ")
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)


def start(
    folder: Path,
    seed: int | None = None,
    hook: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    said: IO[str] | int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start `dvc repro` at the head of a group of its own; with a seed it kills itself in a random write.

    `hook` is the folder of HOOK, `hook` in `folder` by default; `said` is where its lines go.
    """
    variables = {**environment, "DVC_NO_ANALYTICS": "true"}
    if seed is not None:
        variables |= {"KILL_SEED": str(seed), "PYTHONPATH": str(hook or folder / "hook")}
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"], cwd=folder, env=variables,
        stdout=said, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def strike(process: subprocess.Popen[str], how: str) -> None:
    """Kill. What DVC alone left behind is a stage that ends by itself; who reads its lines from a pipe waits for it."""
    if how == "SIGKILL of DVC alone":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL if how.startswith("SIGKILL") else signal.SIGTERM)
    process.communicate()


def is_damaged(folder: Path) -> list[str]:
    """Return which of DVC's files are broken."""
    lock, rwlock = folder / "dvc.lock", folder / ".dvc/tmp/rwlock"
    broken = ["dvc.lock"] if lock.exists() and not repair.whole(lock.read_text(errors="replace")) else []
    return broken + (["rwlock"] if rwlock.exists() and not repair._is_rwlock(rwlock.read_bytes()) else [])


def kill_often(folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kill `kills` times; return counts of kills, of damages, and of runs that DVC could not finish afterwards."""
    choose, counts, round_ = random.Random(seed), Counter(), 0
    make(folder)
    began = time.monotonic()
    assert start(folder).wait() == 0
    longest = time.monotonic() - began
    while counts["kills"] < kills:
        how = _attempt(folder, choose, longest, counts)
        if how is None:
            round_ += 1
            (folder / "seed.txt").write_text(f"{round_} ")
            continue
        counts.update(["kills", how, *is_damaged(folder)])
        counts.update(f"mended {line.partition(' ')[0]}" for line in repair.mend(folder))
    assert start(folder).wait() == 0
    return counts


def _attempt(folder: Path, choose: random.Random, longest: float, counts: Counter[str]) -> str | None:
    """Run once; return how it was killed, None when it came to its end."""
    aimed = choose.random() < 0.5
    process = start(folder, choose.randrange(2**32) if aimed else None)
    try:
        process.wait(timeout=600 if aimed else choose.uniform(0.3, longest))
    except subprocess.TimeoutExpired:
        how = choose.choice(KILLS)
        strike(process, how)
        return how
    if process.returncode == -signal.SIGKILL:
        process.communicate()
        return "inside a write"
    _check(folder, process, counts)
    return None


def _check(folder: Path, process: subprocess.Popen[str], counts: Counter[str]) -> None:
    said, seed = process.communicate()[0], (folder / "seed.txt").read_text()
    right = all((folder / f"s{number}.txt").read_text() == f"{seed}s{number}" for number in range(STAGES))
    counts["finished"] += 1
    if process.returncode != 0 or not right:
        counts["FAILED"] += 1
        print(said, file=sys.stderr)


def main() -> None:
    """Kill and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = kill_often(Path(folder), given.kills, given.seed)
    print(f"seed {given.seed}: {dict(counts)}")
    sys.exit(bool(counts["FAILED"]))


if __name__ == "__main__":
    main()
