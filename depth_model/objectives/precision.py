"""In which precision objectives compute."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Return `values` in float32, or unchanged if float64 (docs/paper.md 1.10: no median in half precision)."""
    return values if values.dtype == torch.float64 else values.float()
