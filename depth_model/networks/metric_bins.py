"""Metric bins: the head that turns relative depth into metres (paper 4.3 after ZoeDepth; paper.md section 5).

Every pixel gets 64 bin centres in metres. A coarse map proposes them, four finer maps move them towards attractor
points, and a conditional log-binomial distribution over the bins weights them; the depth is the weighted sum. Centres
are unbounded ("softplus" in ZoeDepth's words); the bounded variants are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
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
STRENGTH = 1000.0
"""alpha of the configuration that the paper's authors and ZoeDepth publish."""
RELEASED_STRENGTH = 300.0
"""alpha at which the released weights were trained: their code never hands its configuration on to this function."""

_SHARE_FLOOR = 1e-4


def attract(centres: Tensor, points: Tensor, strength: float = STRENGTH) -> Tensor:
    """Return `centres` (B, K, h, w) moved towards attractor `points` (B, A, h, w), all in metres.

    c + mean over A of d / (1 + strength d^2), d = A - c (paper.md section 5, gamma = 2): a near point pulls its whole
    distance, a far one hardly at all.
    """
    moved = torch.zeros_like(centres)
    # One point at a time: all at once would hold (B, A, K, h, w).
    for point in points.unbind(dim=1):
        distance = point[:, None] - centres
        moved = moved + distance / (1 + strength * distance**2)
    return centres + moved / points.shape[1]


def log_binomial(probability: Tensor, temperature: Tensor, bins: int = BINS) -> Tensor:
    """Return the distribution (B, bins, h, w) over bins of `probability` in (0, 1) and `temperature`, (B, 1, h, w).

    softmax over k of (ln C(K, k) + k ln p + (K - k) ln(1 - p)) / t with K = bins - 1 and the binomial coefficient by
    Stirling's form, as the released weights were trained with (paper.md section 5).
    """
    index = torch.arange(bins, device=probability.device, dtype=probability.dtype).view(1, -1, 1, 1)
    last = bins - 1
    clamped = probability.clamp(1e-4, 1)
    rest = (1 - probability).clamp(1e-4, 1)
    logits = _log_choose(last, index) + index * clamped.log() + (last - index) * rest.log()
    return (logits / temperature).softmax(dim=1)


def _log_choose(total: int, chosen: Tensor) -> Tensor:
    tiny = 1e-7
    whole, part = chosen.new_tensor(total + tiny), chosen + tiny
    return whole * whole.log() - part * part.log() - (whole - part) * (whole - part + tiny).log()


class MetricBins(nn.Module):
    """The maps of a DPT decoder in, depth in metres out.

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
            self.projectors = nn.ModuleList(
                _perceptron(features, EMBEDDING, EMBEDDING, nn.ReLU()) for _ in ATTRACTORS
            )
            self.attractors = nn.ModuleList(
                _perceptron(EMBEDDING, EMBEDDING, points, nn.ReLU()) for points in ATTRACTORS
            )
            width = HIDDEN + 1 + EMBEDDING
            self.conditional_log_binomial = _perceptron(width, width // 2, 4, nn.GELU())

    def forward(self, maps: DecoderMaps) -> Tensor:
        """Return depth (B, H, W) float32 in metres, > 0, at the size of the decoder's disparity.

        The distribution is computed in float32 whatever the precision of the maps.
        """
        coarse = self.conv2(maps.bottleneck)
        centres = functional.softplus(self.seed_bin_regressor(coarse).float())
        embedding = self.seed_projector(coarse)
        for path, projector, attractor in zip(maps.paths, self.projectors, self.attractors, strict=True):
            size = path.shape[2:]
            projected = projector(path)
            points = functional.softplus(attractor(projected + _resized(embedding, size)).float())
            centres = attract(_resized(centres, size), points, self.strength)
            embedding = projected
        shares = self._distribution(maps, embedding)
        return (shares * _resized(centres, shares.shape[2:])).sum(dim=1)

    def _distribution(self, maps: DecoderMaps, embedding: Tensor) -> Tensor:
        """Return the weight of every bin (B, 64, H, W), from the hidden map and the relative disparity itself."""
        size = maps.hidden.shape[2:]
        known = torch.cat([maps.hidden, maps.disparity[:, None].to(maps.hidden.dtype)], dim=1)
        pairs = self.conditional_log_binomial(torch.cat([known, _resized(embedding, size)], dim=1))
        pairs = functional.softplus(pairs.float()) + _SHARE_FLOOR
        probability = pairs[:, 0:1] / pairs[:, 0:2].sum(dim=1, keepdim=True)
        warmth = pairs[:, 2:3] / pairs[:, 2:4].sum(dim=1, keepdim=True)
        low, high = TEMPERATURES
        return log_binomial(probability, low + (high - low) * warmth)


def _perceptron(inputs: int, hidden: int, outputs: int, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, hidden, 1), activation, nn.Conv2d(hidden, outputs, 1))


def _resized(values: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(values, size=size, mode="bilinear", align_corners=True)
