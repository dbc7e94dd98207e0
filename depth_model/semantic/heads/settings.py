"""The sizes of a Mask2Former head."""

from __future__ import annotations

from dataclasses import dataclass

from depth_model.settings import Positive, setting

GROUPS = 32
"""Of the group norms in the library's pixel decoder."""


@dataclass(frozen=True)
class Mask2FormerSettings:
    """Sizes of the head; defaults are the released ones. Raises ValueError for a `width` that groups or heads do not
    divide."""

    width: Positive = setting("channels, a multiple of 32 and of twice the heads (paper: 1024)", 1024)
    queries: Positive = setting("paper: 200", 200)
    heads: Positive = setting("of attention (paper: 32)", 32)
    pixel_layers: Positive = setting("of the pixel decoder (paper: 6)", 6)
    decoder_layers: Positive = setting("of the transformer decoder (paper: 9)", 9)
    feedforward: Positive = setting("width (paper: 4096)", 4096)
    points: Positive = setting("at which masks are compared (paper: 12544)", 12544)

    def __post_init__(self) -> None:
        if self.width % GROUPS or self.width % (2 * self.heads):
            raise ValueError(f"width={self.width}: must be a multiple of {GROUPS} and of twice the {self.heads} heads")
