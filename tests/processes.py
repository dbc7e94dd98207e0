"""Waiting for other processes, whether they live, and where they work."""

from __future__ import annotations

import time
from pathlib import Path


def wait_for(condition, seconds, every=0.02):
    """Return when `condition()` holds, looked at after so many seconds again; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(every)


def lives(pid):
    """Whether a process is there and not only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def working_in(folder):
    """The ids of the processes whose current folder this is."""
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _works_in(entry, folder)}


def _works_in(entry, folder):
    try:
        return entry.joinpath("cwd").readlink() == folder
    except OSError:  # the process ended, or is not ours
        return False
