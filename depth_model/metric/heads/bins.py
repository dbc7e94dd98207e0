"""Metric bins: the head that turns relative depth into meters (paper 4.3 after ZoeDepth; docs/paper.md 5).

Every pixel gets 64 bin centers in meters. A coarse map proposes them, four finer maps move them toward attractor
points, and a conditional log-binomial distribution over the bins weights them; the depth is the weighted sum. Centers
are unbounded ("softplus" in ZoeDepth's words); the bounded variants are left out. Everything inside has its channels
last, as the decoder's maps have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from depth_model.networks.dpt import DecoderMaps

BINS = 64
EMBEDDING = 128
"""Width of the embedding that conditions attractors and distribution."""
REGRESSOR = 256
HIDDEN = 32
"""Channels of the decoder's last map."""
ATTRACTORS = (16, 8, 4, 1)
"""Attractor points on the four fusion maps, coarsest first."""
TEMPERATURES = (0.0212, 50.0)
STRENGTH = 300.0
"""alpha at which every official training ran and the released weights were made: the code of the paper's authors and
of ZoeDepth never hands the 1000 of its configuration on to this function."""

_SHARE_FLOOR = 1e-4


def attract(centers: Tensor, points: Tensor, strength: float = STRENGTH) -> Tensor:
    """Return `centers` (..., K) moved toward attractor `points` (..., A), all in meters.

    c + mean over A of d / (1 + strength d^2), d = A - c (docs/paper.md 5, gamma = 2): a near point pulls its whole
    distance, a far one hardly at all. The gradient is computed anew in the backward pass (once, not twice
    differentiable): torch would keep several tensors (..., A, K) for it.
    """
    if torch.compiler.is_exporting():  # a few steps, not five a point: OpenVINO 2026.4 has no registers to fuse those
        distance = points[..., None] - centers[..., None, :]
        return centers + (distance / (strength * distance.square() + 1)).mean(-2)
    return _Attraction.apply(centers, points, strength)


class _Attraction(torch.autograd.Function):
    """`attract`, one point at a time: all at once would hold (..., A, K)."""

    @staticmethod
    def forward(ctx: Any, centers: Tensor, points: Tensor, strength: float) -> Tensor:
        ctx.save_for_backward(centers, points)
        ctx.strength = strength
        moved = torch.zeros_like(centers)
        for point in points.unbind(-1):
            distance = point[..., None] - centers
            moved.addcdiv_(distance, distance.square().mul_(strength).add_(1))
        return moved.div_(points.shape[-1]).add_(centers)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        centers, points = ctx.saved_tensors
        slopes, of_points = torch.zeros_like(centers), torch.empty_like(points)
        for number, point in enumerate(points.unbind(-1)):
            scaled = (point[..., None] - centers).square_().mul_(ctx.strength)
            slope = (1 - scaled).div_(scaled.add_(1).square_())  # of d / (1 + strength d^2)
            slopes += slope
            of_points[..., number] = slope.mul_(gradient).sum(-1)
        count = points.shape[-1]
        return gradient - gradient * slopes.div_(count), of_points / count, None


def log_binomial(probability: Tensor, temperature: Tensor, bins: int = BINS) -> Tensor:
    """Return the distribution (..., bins) over bins of `probability` in (0, 1) and `temperature`, both (...).

    softmax over k of (ln C(K, k) + k ln p + (K - k) ln(1 - p)) / t with K = bins - 1 and the binomial coefficient by
    Stirling's form, as the released weights were trained with (docs/paper.md 5).
    """
    index = torch.arange(bins, device=probability.device, dtype=probability.dtype)
    odds = probability.clamp(1e-4, 1.0).log() - (1 - probability).clamp(1e-4, 1.0).log()
    # Without K ln(1 - p), which is the same for every k, the logits are a product with two columns.
    columns = torch.stack([_log_choose(bins - 1, index), index], dim=-1)
    logits = functional.linear(torch.stack([1 / temperature, odds / temperature], dim=-1), columns)
    return logits.softmax(dim=-1)


def _log_choose(total: int, chosen: Tensor) -> Tensor:
    tiny = 1e-7
    whole, part = chosen.new_tensor(total + tiny), chosen + tiny
    return whole * whole.log() - part * part.log() - (whole - part) * (whole - part + tiny).log()


class MetricBins(nn.Module):
    """The maps of a DPT decoder in, depth in meters out.

    `features` is the width of the decoder's fusion path, `strength` the alpha of `attract`. Weights are torch's
    defaults drawn from `seed` alone. Parameter names are the released ones without their `_net`.
    """

    def __init__(self, features: int, strength: float = STRENGTH, seed: int = 0) -> None:
        super().__init__()
        self.strength = strength
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv2 = nn.Conv2d(features, features, 1)
            self.seed_bin_regressor = _perceptron(features, REGRESSOR, BINS, nn.ReLU())
            self.seed_projector = _perceptron(features, EMBEDDING, EMBEDDING, nn.ReLU())
            self.projectors = nn.ModuleList(_perceptron(features, EMBEDDING, EMBEDDING, nn.ReLU()) for _ in ATTRACTORS)
            self.attractors = nn.ModuleList(
                _perceptron(EMBEDDING, EMBEDDING, points, nn.ReLU()) for points in ATTRACTORS
            )
            width = HIDDEN + 1 + EMBEDDING
            self.conditional_log_binomial = _perceptron(width, width // 2, 4, nn.GELU())

    def forward(self, maps: DecoderMaps) -> Tensor:
        """Return depth (B, H, W) float32 in meters, > 0, at the size of the decoder's disparity.

        The distribution is computed in float32 whatever the precision of the maps.
        """
        coarse = _linear(self.conv2, _channels_last(maps.bottleneck))
        centers = functional.softplus(_applied(self.seed_bin_regressor, coarse).float())
        embedding = _applied(self.seed_projector, coarse)
        for path, projector, attractor in zip(maps.paths, self.projectors, self.attractors, strict=True):
            size = path.shape[2:]
            projected = _applied(projector, _channels_last(path))
            points = functional.softplus(_applied(attractor, projected + _resized(embedding, size)).float())
            centers = attract(_resized(centers, size), points, self.strength)
            embedding = projected
        shares = self._distribution(maps, embedding)
        return (shares * _resized(centers, shares.shape[1:3])).sum(dim=-1)

    def _distribution(self, maps: DecoderMaps, embedding: Tensor) -> Tensor:
        """Return the weight of every bin (B, H, W, 64), from the hidden map and the relative disparity itself.

        The first layer takes both and the enlarged embedding, side by side; what it makes of the embedding is computed
        before enlarging, which is linear as well.
        """
        first, activation, last = self.conditional_log_binomial
        of_maps, of_embedding = first.weight.flatten(1).split([HIDDEN + 1, EMBEDDING], dim=1)
        hidden = _channels_last(maps.hidden)
        known = torch.cat([hidden, maps.disparity[..., None].to(hidden.dtype)], dim=-1)
        enlarged = _resized(functional.linear(embedding, of_embedding), maps.hidden.shape[2:])
        mixed = functional.linear(known, of_maps, first.bias).add_(enlarged)
        pairs = functional.softplus(_linear(last, activation(mixed)).float()) + _SHARE_FLOOR
        low, high = TEMPERATURES
        with torch.autocast(pairs.device.type, enabled=False):
            probability = pairs[..., 0] / pairs[..., 0:2].sum(dim=-1)
            warmth = pairs[..., 2] / pairs[..., 2:4].sum(dim=-1)
            return log_binomial(probability, low + (high - low) * warmth)


def _perceptron(inputs: int, hidden: int, outputs: int, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, hidden, 1), activation, nn.Conv2d(hidden, outputs, 1))


def _applied(perceptron: nn.Sequential, values: Tensor) -> Tensor:
    first, activation, last = perceptron
    return _linear(last, activation(_linear(first, values)))


def _linear(convolution: nn.Conv2d, values: Tensor) -> Tensor:
    """Apply a 1x1 convolution to values (B, h, w, C) as a matrix product, which needs no other layout than theirs."""
    return functional.linear(values, convolution.weight.flatten(1), convolution.bias)


def _channels_last(values: Tensor) -> Tensor:
    return values.permute(0, 2, 3, 1)


def _resized(values: Tensor, size: Sequence[int]) -> Tensor:
    """Return values (B, h, w, C) at `size`."""
    moved = values.permute(0, 3, 1, 2)
    enlarged = functional.interpolate(moved, size=tuple(size), mode="bilinear", align_corners=True)
    return _channels_last(enlarged)
