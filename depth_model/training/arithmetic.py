"""How exactly torch computes while a training runs: deterministic algorithms, and TF32 on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from depth_model.training.settings import TrainingMachine


@contextmanager
def arithmetic(machine: TrainingMachine, device: torch.device) -> Iterator[None]:
    """Let torch compute on `device` as `machine` asks, without changing the process for good.

    Deterministic algorithms are taken where torch has them. On a GPU some are many times slower (the backward pass of
    bilinear upsampling is written out as sums over indices), so that "auto" does without; then cuDNN also tries which
    of its convolutions is the fastest.
    """
    exact = {"auto": device.type == "cpu", "always": True, "never": False}[machine.deterministic]
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(exact, warn_only=True)
    try:
        with _on_gpu(machine.tf32, not exact) if device.type == "cuda" else nullcontext():
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def _on_gpu(tf32: bool, search: bool) -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
    _set_gpu("high" if tf32 else "highest", tf32, search)
    try:
        yield
    finally:
        _set_gpu(*before)


def _set_gpu(products: str, convolutions: bool, search: bool) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = convolutions, search
