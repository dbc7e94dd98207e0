"""Seconds of CPU and memory of every data stage for many images, and again for 1 % more of them.

    python benchmarks/scale.py FOLDER [--count 1000000] [--side 64]

Makes a project in FOLDER with one unlabeled source of `count` distinct small JPEGs, runs inventory, collect, validate
and audit, adds 1 % in folders of their own, and runs them again. Memory is that of a stage and all its processes
together (proportional set size, looked at four times a second), CPU theirs too. DVC's own work is not measured.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import measuring
import numpy as np
import psutil
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
STAGES = {
    "inventory": "inventory",
    "collect": "collect_unlabeled@pictures",
    "validate": "validate@unlabeled",
    "audit": "audit",
}
EMPTY = tuple(f"validate@{role}" for role in ("labeled", "evaluation", "metric", "semantic"))
"""Roles without a source, whose catalogs the audit reads all the same."""
PER_FOLDER = 1000


def write_folder(root: Path, side: int, start: int, end: int) -> None:
    """Write pictures `start` to `end` (exclusive) of one folder; picture n is a pure function of n."""
    folder = root / f"{start // PER_FOLDER:05d}"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, end):
        cells = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        picture = cv2.resize(cells, (side, side), interpolation=cv2.INTER_CUBIC)
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        (folder / f"{number:08d}.jpg").write_bytes(encoded.tobytes())


def write_pictures(root: Path, first: int, count: int, side: int) -> None:
    """Write `count` pictures from number `first` on, of `side` pixels, below `root`: 1000 a folder."""
    last = first + count
    starts = [first, *range((first // PER_FOLDER + 1) * PER_FOLDER, last, PER_FOLDER)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(write_folder, root, side), starts, [*starts[1:], last], chunksize=8))


def make_project(folder: Path, samples_per_shard: int) -> None:
    """Copy the tracked files to `folder` and leave one source, its folder `pictures`, in params.yaml."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    content = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    source = {"pictures": {"reader": "image_folder", "root": "pictures"}}
    content["sources"] = {role: {} for role in content["sources"]} | {"unlabeled": source}
    content |= {name: {} for name in content if name.startswith(("finetune_", "evaluate_", "export"))}
    content["collect"] |= {"samples_per_shard": samples_per_shard}
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def run(folder: Path, address: str) -> tuple[float, int]:
    """Run one stage in `folder`; return (seconds of CPU, most memory in bytes). Ends the program when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DVC_STAGE")}
    process = subprocess.Popen([sys.executable, "-m", "tasks", address], cwd=folder, env=environment)
    most = 0
    while process.poll() is None:
        most = max(most, memory(process.pid))
        time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"{address} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, most


def memory(pid: int) -> int:
    """Return the proportional set size of process `pid` and all below it, in bytes; 0 when it has ended."""
    try:
        parent = psutil.Process(pid)
        return sum(one.memory_full_info().pss for one in [parent, *parent.children(recursive=True)])
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0


def measured(folder: Path) -> list[str]:
    """Run all stages; return what each took."""
    for address in (STAGES["inventory"], *EMPTY):
        run(folder, address)
    taken = [run(folder, address) for address in STAGES.values()]
    return [f"{seconds:.1f} s, {most / 1e6:.0f} MB" for seconds, most in taken]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--samples-per-shard", type=int, default=1000)
    given = parser.parse_args()
    make_project(given.folder, given.samples_per_shard)
    columns = []
    for first, count in ((0, given.count), (given.count, given.count // 100)):
        write_pictures(given.folder / "pictures", first, count, given.side)
        columns.append(measured(given.folder))
    header = ["stage", str(given.count), f"{given.count // 100} more"]
    print(measuring.table(header, [list(row) for row in zip(STAGES, *columns, strict=True)]))


if __name__ == "__main__":
    main()
