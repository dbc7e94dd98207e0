"""A feature pyramid from a plain ViT, whose maps all have one stride (docs/paper.md 6)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class SimplePyramid(nn.Module):
    """Four maps of `channels` channels, at 4, 2, 1 and 0.5 times the size that they came in.

    Learned transposed convolutions enlarge the first two, the third stays, the fourth is the maximum of 2x2. The
    norm between the two convolutions of the first is over the channels of a picture, as in ViTDet, not over the batch
    as in the released configuration: the gradient of a batch must not depend on how processes share it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fourfold = nn.Sequential(_doubling(channels), nn.GroupNorm(1, channels), nn.GELU(), _doubling(channels))
        self.twofold = _doubling(channels)
        self.half_size = nn.MaxPool2d(2, 2, ceil_mode=True)  # a single patch stays one

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return maps (B, C, ...) of 4h x 4w, 2h x 2w, h x w and h/2 x w/2 (rounded up), of four maps (B, C, h, w)."""
        first, second, third, fourth = maps
        return [self.fourfold(first), self.twofold(second), third, self.half_size(fourth)]


def _doubling(channels: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, channels, 2, 2)
