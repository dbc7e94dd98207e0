"""Where a model predicts. The device of training is Fabric's, see `depth_model.training.processes`."""

from __future__ import annotations

import torch


def inference_device() -> torch.device:
    """Return where a model predicts fastest on this machine: CUDA, Apple's MPS, or else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
