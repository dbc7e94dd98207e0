"""The processes that train together: those torchrun started, or this one alone.

Lightning Fabric joins them: gloo on CPU, nccl on GPUs, one device per process. With one process every function here
is the trivial one, so that no caller asks how many there are. Gradients are exchanged by DDP. On CPUs it looks for
parameters without a gradient in every step, though there are none: with that the exchange keeps its order from the
first step on, which resuming to the byte needs. GPUs do without, as the search walks the graph of every step.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, distributed

from depth_model import files
from depth_model.errors import UserError
from depth_model.training.sampling import Share

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others, for example while the first one writes a checkpoint."""

_PART = 64 * 2**20
"""Bytes of a file that are sent at once."""


@functools.cache
def fabric() -> Fabric:
    """Return the Fabric of this process, joined with the others if torchrun started it."""
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if not distributed.is_torchelastic_launched():
        alone = Fabric(accelerator=accelerator, devices=1, plugins=[LightningEnvironment()])
        alone.launch()
        return alone
    local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # a matter of speed
    strategy = DDPStrategy(timeout=PATIENCE, find_unused_parameters=accelerator == "cpu")
    joined = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=world // local,
        strategy=strategy,
        plugins=[TorchElasticEnvironment()],
    )
    with losses_named():
        joined.launch()
    atexit.register(_leave)
    return joined


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def best_device() -> torch.device:
    """Return the device this process trains on: its GPU if there is one, else the CPU."""
    return fabric().device


def is_first() -> bool:
    """Return whether this is the process that logs, writes and shows progress."""
    return fabric().global_rank == 0


def shares(accumulation: int) -> list[Share]:
    """Return the shares of each global batch that this process takes, one after the other."""
    own, of = fabric().global_rank * accumulation, fabric().world_size * accumulation
    return [Share(own + number, of) for number in range(accumulation)]


def summed(values: Tensor) -> Tensor:
    """Return `values`, on the device of training, summed over all processes in place; a GPU's are not waited for."""
    if fabric().world_size > 1:
        distributed.all_reduce(values)  # Fabric's own puts a barrier before it, for which every process waits
    return values


def gathered(values: list[str]) -> list[str]:
    """Return the texts of all processes in one list, the same everywhere."""
    if fabric().world_size == 1:
        return values
    lists: list[Any] = [None] * fabric().world_size
    distributed.all_gather_object(lists, values)
    return [value for one in lists for value in one]


def from_first(value: Any) -> Any:
    """Return the `value` of the first process."""
    return fabric().broadcast(value)


def file_of_first(path: Path | None) -> Path | None:
    """Return the `path` of the first process, with that file on the disk of every node, at the same place.

    A node whose disk has it not, or another one, is sent the file. Raises OSError where it cannot be written.
    """
    path = from_first(path)
    if path is None or fabric().world_size == 1:
        return path
    asked = fabric().local_rank == 0
    own = files.sha256(path) if asked and path.exists() else ""
    right = from_first(own)
    if set(gathered([own if asked else right])) == {right}:
        return path
    writes = asked and own != right
    source = open(path, "rb") if is_first() else nullcontext()
    with source as read, files.atomic_path(path) if writes else nullcontext() as temporary:
        with open(temporary, "wb") if temporary else nullcontext() as written:
            while part := from_first(read.read(_PART) if read else None):
                if written:
                    written.write(part)
    fabric().barrier()
    return path


@contextmanager
def losses_named() -> Iterator[None]:
    """Raise UserError for what gloo and nccl raise when another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if not distributed.is_torchelastic_launched() or not _of_the_exchange(error):
            raise
        raise UserError(f"another process of the training is gone: {str(error).splitlines()[0]}") from error


def _of_the_exchange(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, distributed.DistError) or "gloo" in text or "nccl" in text
