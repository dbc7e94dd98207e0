"""The second decoder of a student with an auxiliary task (paper 3.3): the DPT decoder, to classes in place of depth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depth_model.networks.dpt import DPT
from depth_model.networks.variants import Variant


class ClassDecoder(nn.Module):
    """Four maps of tokens in, logits of `classes` out; `row`, `seed` and `patch` are those of `DPT`."""

    def __init__(self, row: Variant, classes: int, seed: int, patch: int) -> None:
        super().__init__()
        self.trunk = DPT(row, seed, patch=patch)
        del self.trunk.scratch.output_conv1, self.trunk.scratch.output_conv2  # what makes depth of the finest path
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.classifier = nn.Conv2d(row.features, classes, 1)

    def forward(self, tokens: Sequence[Tensor], rows: int, columns: int) -> Tensor:
        """Return logits (B, C, 8 * rows, 8 * columns) of four tensors (B, rows * columns, D), finest level first."""
        return self.classifier(self.trunk.paths(tokens, rows, columns)[-1])
