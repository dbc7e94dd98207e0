"""Several processes for one training stage: started here by torchrun's launcher, or by the user's own torchrun.

The first process is the stage: it holds the lock, logs, writes and publishes. The others only learn with it.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from depth_model.errors import UserError


def under_torchrun() -> bool:
    """Return whether torchrun, or `launch`, started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_follower() -> bool:
    """Return whether this process is one of several and not the first."""
    return under_torchrun() and os.environ.get("RANK", "0") != "0"


def launch(module: str, *arguments: str, processes: int) -> None:
    """Run `python -m module` with `arguments` in `processes` processes on this machine, and wait for them.

    When one ends with an error the others are stopped. Raises UserError then, and SystemExit for a signal, which is
    passed on to them.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # DDP warns of looking for unused parameters without finding one; it must look (depth_model/training/processes.py).
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise UserError(
            f"{module}: process {rank} of {processes} ended first, with {failure.exitcode}; what it said stands above;"
            " the same command goes on from the last checkpoint"
        ) from error


def lead(scratch: Path | None) -> None:
    """Tell the other processes, if any, to learn in `scratch`, or that there is nothing to do."""
    if under_torchrun():
        from depth_model.training.processes import from_first

        from_first(scratch)


def follow(learn: Callable[[Path, Callable[..., None]], Any]) -> None:
    """Learn with the first process when it says so; what goes wrong in all of them is for it to report."""
    from depth_model.training.processes import from_first

    try:
        scratch = from_first(None)
        if scratch is not None:
            learn(scratch, lambda step, metrics: None)
    except UserError:
        return
