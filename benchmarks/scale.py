"""Seconds of CPU and memory of every data stage for many images, and again for 1 % more of them.

    python benchmarks/scale.py FOLDER [--count 1000000] [--side 64]

Makes a project in FOLDER with one unlabeled source of `count` distinct pictures (`million_images`), runs inventory,
collect, validate and audit as a user would, adds 1 % in folders of their own, and runs them again. Memory is that of a
stage and all its processes together (proportional set size, looked at four times a second), CPU theirs too.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil
import yaml
from million_images import write_pictures

from tasks.settings import presets

REPOSITORY = Path(__file__).resolve().parents[1]
STAGES = {
    "inventory": ["inventory"],
    "collect": ["collect", "unlabeled", "pictures"],
    "validate": ["validate", "unlabeled"],
    "audit": ["audit"],
}


def make_project(folder: Path, workers: int, samples_per_shard: int) -> None:
    """Write params.yaml of a project whose only source is the folder `pictures`."""
    content = presets.content(REPOSITORY / "presets" / "demo.yaml")
    source = {"pictures": {"reader": "image_folder", "root": "pictures"}}
    content["sources"] = {role: {} for role in content["sources"]} | {"unlabeled": source}
    content |= {name: {} for name in content if name.startswith(("finetune_", "evaluate_"))}
    content["collect"]["samples_per_shard"] = samples_per_shard
    content["machine"]["collect"]["workers"] = workers
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def run(folder: Path, command: list[str]) -> tuple[float, int]:
    """Run the stage `command` in `folder`; return (seconds of CPU, most memory in bytes). Raises when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, "-m", f"tasks.{command[0]}", *command[1:]], cwd=folder, env=environment)
    most = 0
    while process.poll() is None:
        most = max(most, memory(process.pid))
        time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, most


def memory(pid: int) -> int:
    """Return the proportional set size of process `pid` and all below it, in bytes; 0 when it has ended."""
    try:
        parent = psutil.Process(pid)
        return sum(one.memory_full_info().pss for one in [parent, *parent.children(recursive=True)])
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0


def measured(folder: Path) -> dict[str, str]:
    """Run all stages; return what each took."""
    for command in (["inventory"], ["validate", "labeled"], ["validate", "evaluation"]):  # empty, but audit wants them
        run(folder, command)
    taken = {stage: run(folder, command) for stage, command in STAGES.items()}
    return {stage: f"{seconds:.1f} s, {most / 1e6:.0f} MB" for stage, (seconds, most) in taken.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--samples-per-shard", type=int, default=1000)
    given = parser.parse_args()
    make_project(given.folder, given.workers, given.samples_per_shard)
    columns = {}
    for first, count in ((0, given.count), (given.count, given.count // 100)):
        write_pictures(given.folder / "pictures", first, count, given.side)
        columns[count] = measured(given.folder)
    first, more = columns
    print(f"| stage | {first} | {more} more |\n| --- | --- | --- |")
    for stage in STAGES:
        print(f"| {stage} | {columns[first][stage]} | {columns[more][stage]} |")


if __name__ == "__main__":
    main()
