"""Where the time of a pipeline run goes: per stage on the clock, per kind of work in busy seconds.

    pip install py-spy
    python benchmarks/wall_time.py dvc repro

Runs the command under the sampling profiler py-spy with all its child processes and stamps every line of its
output. Busy seconds count running threads, so that two cores can give two of them per second; waiting counts
nothing. The sampling itself costs some per cent.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

RATE = 20
KINDS = [
    ("imports", "<frozen importlib"),
    ("MLflow", "/site-packages/(mlflow|sqlalchemy|alembic)/"),
    ("Great Expectations", "/site-packages/great_expectations/"),
    ("Prefect", "/site-packages/prefect/"),
    ("DVC", "/site-packages/dvc"),
    ("rendering", "/rendered_world/"),
    ("figures", "/site-packages/matplotlib/"),
    ("data", "/depth_model/(datasets/|training/(augmentation|batches|sampling))"),
    ("arithmetic", "/site-packages/(torch|timm)/|/depth_model/"),
]


def kind_of(stack: str) -> str:
    """Return the kind of work that a stack of frames, outermost first, is at: the first that matches."""
    return next((name for name, pattern in KINDS if re.search(pattern, stack)), "other")


def busy_seconds(profile: Path) -> Counter[str]:
    """Return the seconds of running threads by kind of work, from py-spy's raw format."""
    seconds: Counter[str] = Counter()
    for line in profile.read_text(encoding="utf-8").splitlines():
        stack, _, samples = line.rpartition(" ")
        seconds[kind_of(stack)] += int(samples) / RATE
    return seconds


def run(command: list[str], profile: Path) -> list[tuple[str, float]]:
    """Run `command` under py-spy; return (stage, seconds on the clock) in order, DVC's own time before the first."""
    sampler = ["py-spy", "record", "--subprocesses", "--nonblocking", "--full-filenames", "--rate", str(RATE)]
    started = time.monotonic()
    marks = [("before the first stage", started)]
    with subprocess.Popen(
        [*sampler, "--format", "raw", "--output", str(profile), "--", *command], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if match := re.match(r"Running stage '(.+)'", line):
                marks.append((match.group(1), time.monotonic()))
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    ends = [at for _, at in marks[1:]] + [time.monotonic()]
    return [(name, end - at) for (name, at), end in zip(marks, ends)]


def main() -> None:
    """Print both tables for the command given as arguments."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile.txt"
        stages = run(sys.argv[1:], profile)
        seconds = busy_seconds(profile)
    total = sum(took for _, took in stages)
    print(f"\n{'stage':45} {'seconds':>8} {'share':>6}")
    for name, took in [*stages, ("all", total)]:
        print(f"{name:45} {took:8.1f} {took / total:6.1%}")
    busy = sum(seconds.values())
    print(f"\n{'kind of work':45} {'busy s':>8} {'share':>6}")
    for name, took in seconds.most_common():
        print(f"{name:45} {took:8.1f} {took / busy:6.1%}")


if __name__ == "__main__":
    main()
