"""Rotary position embedding of DINOv3: where a patch lies in the image turns its queries and keys.

Coordinates run from -1 to 1 over the image, whatever its size, so no table is resized (DINOv3, arXiv 2508.10104,
section 3.2; without the jitter of its pre-training). The released weights hold the periods rounded to bfloat16; here,
as in timm, they are float32.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

BASE = 100.0
"""Longest period over the shortest, nearly: the periods are BASE ** (0 ... 1)."""


class Rotation(NamedTuple):
    """Cosine and sine, each (N, d) float32, by which the d channels of a head's queries and keys are turned."""

    cosine: Tensor
    sine: Tensor


def rotation(rows: int, columns: int, prefix: int, channels: int, device: torch.device) -> Rotation:
    """Return the rotation of `prefix` tokens, which stay as they are, and of a rows x columns grid in row order.

    `channels` of one head, a multiple of 4: pairs (c, c + channels / 2) turn together, the first quarter of the
    channels by the row, the second by the column.
    """
    periods = BASE ** (torch.arange(channels // 4, device=device) / (channels // 4))
    down, across = (2 * (torch.arange(size, device=device) + 0.5) / size - 1 for size in (rows, columns))
    by_row, by_column = (2 * math.pi * places[:, None] / periods for places in (down, across))
    both = [by_row[:, None].expand(-1, columns, -1), by_column[None].expand(rows, -1, -1)]
    angles = torch.cat([*both, *both], dim=2).flatten(0, 1)
    angles = torch.cat([angles.new_zeros(prefix, channels), angles])
    return Rotation(angles.cos(), angles.sin())


def rotated(values: Tensor, by: Rotation) -> Tensor:
    """Return queries or keys (B, heads, N, d) turned by `by`, computed in float32, in the type they came in."""
    first, second = values.chunk(2, dim=-1)
    return (values * by.cosine + torch.cat([-second, first], dim=-1) * by.sine).to(values.dtype)
