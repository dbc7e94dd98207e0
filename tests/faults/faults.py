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
        Fault("SIGKILL of a stage", 40, lambda: here.killed(bench, signal.SIGKILL)),
        Fault("SIGTERM of a stage", 40, lambda: here.killed(bench, signal.SIGTERM)),
        Fault("SIGKILL of `depth-anything repro`", 6, lambda: here.whole_killed(bench, signal.SIGKILL)),
        Fault("SIGTERM of `depth-anything repro`", 6, lambda: here.whole_killed(bench, signal.SIGTERM)),
        Fault("disk full", 30, lambda: here.full_disk(small()), "room, and the same command"),
        Fault("two people start a stage at once", 20, lambda: here.two_at_once(bench), "nothing to do"),
        Fault("clock jumps by 10 s to 3 years", 20, lambda: here.clock_jumps(bench, *clock()), "nothing to do"),
        Fault("damaged object in DVC's cache", 10, lambda: here.damaged_object(bench), scrubbed),
        *shared_faults(bench, stack),
    ]


def shared_faults(bench: Bench, stack: ExitStack) -> list[Fault]:
    """Return the faults of what people share."""
    team = Once(lambda: shared.Team(bench.folder / "team", stack))
    store = Once(lambda: shared.Store(bench, team(), stack))
    flows = Once(lambda: shared.Flows(bench, team(), stack))
    kill, end = shared.ended_by(signal.SIGKILL), shared.ended_by(signal.SIGTERM)

    def fails(kinds: tuple[str, ...], odds: float, only: tuple[str, ...] = ()) -> Callable[[], Moment | None]:
        return lambda: shared.store_fails(store(), kinds, odds, only)

    def tracking(break_it: Callable[[shared.Team], None]) -> Callable[[], Moment | None]:
        return lambda: shared.tracking_fails(bench, team(), lambda: break_it(team()))

    def flow(break_it: Callable[[shared.Flows], None]) -> Callable[[], Moment | None]:
        return lambda: shared.flow_fails(flows(), break_it)

    return [
        Fault("S3 throttles a third of the requests", 10, fails(("throttle",), 1 / 3)),
        Fault("S3 throttles every request", 10, fails(("throttle",), 1)),
        Fault("S3 cut: answers dropped or half", 15, fails(("drop", "truncate"), 0.7)),
        Fault("S3 full: every upload refused", 10, fails(("full",), 1, ("PUT", "POST")), "room, and the same command"),
        Fault("SIGKILL of the S3 server", 5, lambda: shared.store_killed(store(), team())),
        Fault("SIGKILL of `dvc push`", 8, lambda: shared.push_interrupted(store(), kill)),
        Fault("SIGTERM of `dvc push`", 4, lambda: shared.push_interrupted(store(), end)),
        Fault("PostgreSQL restarted (fast) under a training", 5, tracking(lambda one: one.restart_postgres("fast"))),
        Fault("PostgreSQL crashed under a training", 5, tracking(lambda one: one.restart_postgres("immediate"))),
        Fault("SIGKILL of the MLflow server", 4, tracking(lambda one: one.again("mlflow", signal.SIGKILL))),
        Fault("SIGTERM of the MLflow server", 4, tracking(lambda one: one.again("mlflow", signal.SIGTERM))),
        Fault("SIGKILL of Prefect's worker", 3, flow(lambda one: one.kill_worker(signal.SIGKILL))),
        Fault("SIGTERM of Prefect's worker", 3, flow(lambda one: one.kill_worker(signal.SIGTERM))),
        Fault("SIGKILL of Prefect's server", 2, flow(lambda one: one.team.again("prefect", signal.SIGKILL))),
        Fault("SIGTERM of Prefect's server", 2, flow(lambda one: one.team.again("prefect", signal.SIGTERM))),
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
