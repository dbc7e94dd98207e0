"""Faults of one machine: kills, a full disk, a clock that jumps, two starts at once, a damaged object of the cache."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import yaml

from tests.faults.bench import OURS, Bench, Moment, Started, by_hand, moment

CLOCK = Path(__file__).with_name("clock.c")


def killed(bench: Bench, number: signal.Signals) -> Moment | None:
    """A signal to one stage at a random moment."""
    address = bench.stage()
    seconds = bench.within(address, by_hand(address))
    bench.forget(address)

    def disturb(started: Started) -> bool:
        if started.ended_within(seconds):
            return False
        os.killpg(started.process.pid, number)
        return True

    return moment(bench, address, by_hand(address), disturb)


def full_disk(bench: Bench) -> Moment | None:
    """A disk with room for a random part of what a stage writes; somebody makes room afterwards.

    None without a file system of the bench's own.
    """
    address = bench.stage()
    bench.forget(address)
    ballast = bench.folder / "ballast"
    room = int(2 ** bench.choose.uniform(12, 23))
    os.posix_fallocate(descriptor := os.open(ballast, os.O_CREAT | os.O_WRONLY), 0, max(1, _free(bench.folder) - room))
    os.close(descriptor)
    try:
        return moment(bench, address, by_hand(address), _fails, ballast.unlink)
    finally:
        ballast.unlink(missing_ok=True)


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _fails(started: Started) -> bool:
    return started.process.wait(600) != 0


def clock_jumps(bench: Bench, server: dict[str, str], offset: Path) -> Moment | None:
    """The clock of the machine goes forth or back, by seconds or by years, while a stage runs.

    `server` names a preloaded process whose copies add the seconds in the file `offset` to the clock.
    """
    address = bench.stage()
    offset.write_text("0")
    seconds = bench.within(address, by_hand(address))
    bench.forget(address)

    def disturb(started: Started) -> bool:
        if started.ended_within(seconds):
            return False
        offset.write_text(str(bench.choose.choice((-1, 1)) * int(10 ** bench.choose.uniform(1, 8))))
        return True

    try:
        return moment(bench, address, by_hand(address), disturb, **server)
    finally:
        offset.write_text("0")


def clock_library(folder: Path) -> Path:
    """Compile and return the library that moves the clock of processes that preload it."""
    made = folder / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", made, CLOCK, "-ldl"], check=True)
    return made


def two_at_once(bench: Bench) -> Moment | None:
    """Two people start the same stage in one folder, the second at a random moment of the first one's run."""
    address = bench.stage()
    seconds = bench.within(address, by_hand(address))
    bench.forget(address)
    others: list[Started] = []

    def disturb(started: Started) -> bool:
        started.ended_within(seconds)
        others.append(bench.start(*by_hand(address)))
        return others[0].process.wait(600) == 0

    return moment(bench, address, by_hand(address), disturb)


def damaged_object(bench: Bench) -> Moment | None:
    """An object of DVC's cache changes a bit or loses its end, and its stage's out has to come from there."""
    address = bench.stage()
    path = bench.choose.choice(_objects(bench, address))
    whole = path.read_bytes()
    at = bench.choose.randrange(len(whole))
    rest = bytes([whole[at] ^ 1]) + whole[at + 1 :] if bench.choose.random() < 0.5 else b""
    path.chmod(0o600)
    path.write_bytes(whole[:at] + rest)
    path.chmod(0o444)  # DVC takes what has this mode for what it wrote
    bench.forget(address)
    mended = bench.start(*OURS, "repair", "--cache")
    assert mended.process.wait(600) == 0, mended.said()
    found = moment(bench, address, ["dvc", "repro", "--single-item", address], lambda started: True)
    return found and replace(found, line=mended.line())


def _objects(bench: Bench, address: str) -> list[Path]:
    """Return the objects of DVC's cache that make a stage's out."""
    cache = bench.root / ".dvc/cache/files/md5"
    (out,) = yaml.safe_load((bench.root / "dvc.lock").read_text())["stages"][address]["outs"]
    listing = cache / out["md5"][:2] / out["md5"][2:]
    digests = [one["md5"] for one in json.loads(listing.read_bytes())]
    return [listing, *(cache / digest[:2] / digest[2:] for digest in digests)]
