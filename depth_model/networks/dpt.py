"""The DPT decoder of Depth Anything (docs/paper.md 2.2), with the official parameter names.

The same function as the official head, computed in a cheaper order: the 1x1 convolution of each fusion block runs
before the bilinear upsampling instead of after it (the two commute exactly, since bilinear weights sum to one) and
everything stays channels-last, the layout tokens already have, in which a 1x1 convolution is a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_model.networks.variants import PATCH, Variant

INITIAL_DISPARITY = 1.0


class DecoderMaps(NamedTuple):
    """One pass of the decoder, as a metric head needs it.

    `bottleneck` (B, F, h, w) is the coarsest level at the width of the fusion path, `paths` are the outputs of the four
    fusion blocks, coarsest first, `hidden` (B, 32, H, W) is what the last convolution sees, and `output` (B, H, W)
    float32 what it gives, before its ReLU.
    """

    bottleneck: Tensor
    paths: tuple[Tensor, Tensor, Tensor, Tensor]
    hidden: Tensor
    output: Tensor

    @property
    def disparity(self) -> Tensor:
        """Disparity (B, H, W) float32, >= 0."""
        return functional.relu(self.output)


class DPT(nn.Module):
    """Four maps of tokens in, one disparity map out.

    `row` gives the widths inside (`features`, `out_channels`), `dimension` is the width of a token, by default the
    row's, `patch` the side in pixels of what a token stands for. The weights are torch's defaults drawn from `seed`
    alone, except that the last convolution starts with a positive bias and non-negative weights: its input is never
    negative, so no pixel starts behind the last ReLU, where it would have no gradient. `refinenet4.resConfUnit1` is in
    every official checkpoint but never runs; it is kept for them, without gradients.
    """

    def __init__(self, row: Variant, seed: int = 0, dimension: int | None = None, patch: int = PATCH) -> None:
        super().__init__()
        self.patch, self.features, dimension = patch, row.features, dimension or row.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projects = nn.ModuleList(nn.Conv2d(dimension, channels, 1) for channels in row.out_channels)
            self.resize_layers = _resize_layers(row.out_channels)
            self.scratch = _scratch(row.features, row.out_channels)
        _start_positive(self.scratch.output_conv2[2])
        self.scratch.refinenet4.resConfUnit1.requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def forward(self, tokens: Sequence[Tensor], rows: int, columns: int) -> Tensor:
        """Return disparity (B, patch * rows, patch * columns) float32, >= 0.

        `tokens` are four tensors (B, rows * columns, D), finest level first, after the final LayerNorm.
        """
        return self.maps(tokens, rows, columns).disparity

    def maps(self, tokens: Sequence[Tensor], rows: int, columns: int) -> DecoderMaps:
        """Return all that the pass of `forward` makes."""
        scratch, (bottleneck, *paths) = self.scratch, self.paths(tokens, rows, columns)
        full = _resize(scratch.output_conv1(paths[3]), (self.patch * rows, self.patch * columns))
        hidden = _positive(scratch.output_conv2[0](full))
        return DecoderMaps(bottleneck, tuple(paths), hidden, self._output(hidden))

    def paths(self, tokens: Sequence[Tensor], rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the `bottleneck` of `DecoderMaps` and the outputs of the four fusion blocks, coarsest first."""
        scratch = self.scratch
        levels = [self._reassemble(level, values, rows, columns) for level, values in enumerate(tokens)]
        path4 = scratch.refinenet4(levels[3], None, levels[2].shape[2:])
        path3 = scratch.refinenet3(path4, levels[2], levels[1].shape[2:])
        path2 = scratch.refinenet2(path3, levels[1], levels[0].shape[2:])
        path1 = scratch.refinenet1(path2, levels[0], [2 * side for side in levels[0].shape[2:]])
        return levels[3], path4, path3, path2, path1

    def _reassemble(self, level: int, tokens: Tensor, rows: int, columns: int) -> Tensor:
        """Turn the tokens of one level into a map of `features` channels at its resolution."""
        # A view: tokens in row order are already a channels-last image.
        image = tokens.unflatten(1, (rows, columns)).permute(0, 3, 1, 2)
        image = self.resize_layers[level](_pointwise(self.projects[level], image))
        return getattr(self.scratch, f"layer{level + 1}_rn")(image)

    def _output(self, hidden: Tensor) -> Tensor:
        """Apply the last convolution in float32, for bfloat16 has only 256 steps per octave."""
        last = self.scratch.output_conv2[2]
        with torch.autocast(hidden.device.type, enabled=False):
            pixels, weight = hidden.float().permute(0, 2, 3, 1), last.weight.float().flatten(1)
            return functional.linear(pixels, weight, last.bias.float())[..., 0]


class ResidualConvUnit(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3 with biases, no normalization."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, values: Tensor) -> Tensor:
        """(B, F, h, w) to the same shape."""
        return self.conv2(_positive(self.conv1(functional.relu(values)))) + values


class FusionBlock(nn.Module):
    """Merge a finer map into the coarser path and bring the sum to the next resolution."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, 1)
        self.resConfUnit1 = ResidualConvUnit(features)
        self.resConfUnit2 = ResidualConvUnit(features)

    def forward(self, path: Tensor, finer: Tensor | None, size: Sequence[int]) -> Tensor:
        """Return the fused (B, F, *size); `path` and `finer` are (B, F, h, w), `finer` None in the first block."""
        if finer is not None:
            path = path + self.resConfUnit1(finer)
        return _resize(_pointwise(self.out_conv, self.resConfUnit2(path)), size)


def _positive(values: Tensor) -> Tensor:
    """Return the ReLU of `values`, which nothing else needs."""
    # In place, as a fresh map costs more to allocate than to compute; but bfloat16 in place takes torch twice as long.
    return functional.relu(values) if values.dtype == torch.bfloat16 else functional.relu_(values)


def _pointwise(convolution: nn.Conv2d, values: Tensor) -> Tensor:
    """Return the 1x1 `convolution` of channels-last `values` (B, C, h, w), as the matrix product that it is.

    torch's own choice for a single picture on one thread is to copy every pixel first.
    """
    weight = convolution.weight.flatten(1)
    return functional.linear(values.permute(0, 2, 3, 1), weight, convolution.bias).permute(0, 3, 1, 2)


def _resize(values: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(values, size=tuple(size), mode="bilinear", align_corners=True)


def _resize_layers(channels: Sequence[int]) -> nn.ModuleList:
    """Bring the levels, all at one token per patch, to strides of a quarter, a half, one and two patches."""
    return nn.ModuleList(
        [
            nn.ConvTranspose2d(channels[0], channels[0], kernel_size=4, stride=4),
            nn.ConvTranspose2d(channels[1], channels[1], kernel_size=2, stride=2),
            nn.Identity(),
            nn.Conv2d(channels[3], channels[3], kernel_size=3, stride=2, padding=1),
        ]
    )


def _scratch(features: int, out_channels: Sequence[int]) -> nn.Module:
    """Hold the parts that official checkpoints keep under `scratch`."""
    scratch = nn.Module()
    for level, channels in enumerate(out_channels, start=1):
        setattr(scratch, f"layer{level}_rn", nn.Conv2d(channels, features, 3, padding=1, bias=False))
        setattr(scratch, f"refinenet{level}", FusionBlock(features))
    scratch.output_conv1 = nn.Conv2d(features, features // 2, 3, padding=1)
    scratch.output_conv2 = nn.Sequential(
        nn.Conv2d(features // 2, 32, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(32, 1, 1)
    )
    return scratch


@torch.no_grad()
def _start_positive(last: nn.Conv2d) -> None:
    last.weight.abs_()
    last.bias.fill_(INITIAL_DISPARITY)
