"""Where a model predicts. The device of training is Fabric's, see `depth_model.training.processes`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from depth_model.errors import UserError

CPU = torch.device("cpu")


def inference_device() -> torch.device:
    """Return where a model predicts fastest on this machine: CUDA, Apple's MPS, or else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def worker_device(device: str, worker: int) -> torch.device:
    """Return where the worker process of number `worker` runs its network: they take the GPUs by turns.

    `device` is "cpu", "gpu", or "auto" for a GPU where there is one. Raises UserError for a GPU that is not there.
    """
    count = torch.cuda.device_count()
    if device == "gpu" and not count:
        raise UserError("machine: device = 'gpu': a worker sees no GPU; choose 'auto' or 'cpu'")
    if device == "cpu":
        return torch.device("cpu")
    return torch.device("cuda", worker % count) if count else inference_device()


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Give torch so many threads in this process, 0 as many as it has."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def sent(values: np.ndarray, device: torch.device) -> Tensor:
    """Return `values` as a tensor that `device` can fetch by itself: in pinned memory for CUDA."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor
    with torch.cuda.device(device):  # a thread starts at the first GPU, where pinning would take memory for nothing
        return tensor.pin_memory()


def fetched(values: Tensor) -> Callable[[], np.ndarray]:
    """Start to copy `values` to the CPU; return a function that waits for the copy and gives it.

    It waits for what the device was told before, not for what it is told after.
    """
    if values.device.type != "cuda":
        return values.cpu().numpy
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
    arrived = torch.cuda.current_stream(values.device).record_event()

    def wait() -> np.ndarray:
        arrived.synchronize()
        return copy.numpy()

    return wait
