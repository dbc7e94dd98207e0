"""The faults by name: how many moments of each, and what brings the work back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.workspace import preloaded
from tests.faults import here, shared
from tests.faults.bench import Bench, Cannot, Moment, offered

DISK = "200m"
"""The small file system: what the project takes, and more."""
SAME = "the same command"


@dataclass(frozen=True)
class Fault:
    """A row of the table: `strike` makes one moment, or None where it came too late."""

    name: str
    moments: int
    strike: Callable[[], Moment | None]
    back: str = SAME


def faults(bench: Bench, stack: ExitStack) -> list[Fault]:
    """Return every fault; what one needs is started at its first moment and ends with `stack`."""
    small, clock = Once(lambda: small_disk(bench, stack)), Once(lambda: moving_clock(bench, stack))
    scrubbed = "`depth-anything repair --cache`, then `dvc repro`"
    return [
        Fault("damaged object in DVC's cache", 10, lambda: here.damaged_object(bench), scrubbed),
        Fault("SIGKILL of a stage", 60, lambda: here.killed(bench, signal.SIGKILL)),
        Fault("SIGTERM of a stage", 60, lambda: here.killed(bench, signal.SIGTERM)),
        Fault("disk full", 30, lambda: here.full_disk(small()), "room, and the same command"),
        Fault("two people start a stage at once", 20, lambda: here.two_at_once(bench), "nothing to do"),
        Fault("clock jumps by 10 s to 3 years", 20, lambda: here.clock_jumps(bench, *clock()), "nothing to do"),
        *shared_faults(bench, stack),
    ]


def shared_faults(bench: Bench, stack: ExitStack) -> list[Fault]:
    """Return the faults of what people share."""
    team = Once(lambda: shared.services(bench.folder / "team", stack))
    store = Once(lambda: shared.Store(bench, team(), stack))
    flows = Once(lambda: shared.Flows(bench, team(), stack))

    def fails(kinds: tuple[str, ...], only: tuple[str, ...] = ()) -> Callable[[], Moment | None]:
        return lambda: shared.store_fails(store(), kinds, only)

    repaired = "`depth-anything repair`, then `dvc push`"

    def restart() -> None:
        team().restart_postgres(bench.choose.choice(("fast", "immediate")))

    def end(name: str) -> None:
        team().again(name, bench.choose.choice(shared.ENDS))

    return [
        Fault("S3 throttles", 10, fails(("throttle",))),
        Fault("S3 drops or cuts its answers", 10, fails(("drop", "truncate"))),
        Fault("S3 is full", 10, fails(("full",), ("PUT", "POST")), "room, and the same command"),
        Fault("S3 server killed", 5, lambda: shared.store_killed(store())),
        Fault("`dvc push` interrupted", 10, lambda: shared.push_interrupted(store()), repaired),
        Fault("PostgreSQL restarts or crashes", 10, lambda: shared.tracking_fails(bench, team(), restart)),
        Fault("MLflow's server ends", 8, lambda: shared.tracking_fails(bench, team(), lambda: end("mlflow"))),
        Fault("Prefect's worker ends", 5, lambda: shared.flow_fails(flows(), lambda: flows().kill_worker())),
        Fault("Prefect's server ends", 5, lambda: shared.flow_fails(flows(), lambda: end("prefect"))),
    ]


class Once:
    """What is made when it is first asked for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make, self.made = make, None

    def __call__(self) -> Any:
        if self.made is None:
            self.made = self.make()
        return self.made


def small_disk(bench: Bench, stack: ExitStack) -> Bench:
    """Return a copy of the bench on a small file system in memory; raises Cannot where one may not mount."""
    folder = bench.folder / "small"
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise Cannot("no right to mount a small file system")
    stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
    return bench.copied(folder)


def moving_clock(bench: Bench, stack: ExitStack) -> tuple[dict[str, str], Path]:
    """Start a process whose copies have the clock of tests/faults/clock.c; raises Cannot without a C compiler."""
    if shutil.which("cc") is None:
        raise Cannot("no C compiler")
    offset = bench.folder / "offset"
    offset.write_text("0")
    moved = {"LD_PRELOAD": str(here.clock_library(bench.folder)), "CLOCK_OFFSET": str(offset)}
    os.environ |= moved
    path = offered(stack)
    for name in moved:
        del os.environ[name]
    return {preloaded.SOCKET: path, **moved}, offset
