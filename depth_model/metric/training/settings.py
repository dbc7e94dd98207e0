"""The settings of metric fine-tuning. Defaults are those of the paper for NYUv2 (paper section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from depth_model.settings import NotNegativeNumber, Positive, PositiveNumber, Share, setting


@dataclass(frozen=True, kw_only=True)
class MetricInput:
    """What the network sees after `crop`.

    By the `recipe` of the paper whole images, slightly turned, squashed to (`height`, `width`), their brightness
    changed by factors from [1 - brightness, 1 + brightness]. By that of the second Depth Anything a random part of
    `height` x `width` of images that keep their aspect ratio, whose shorter side is so long; colors stay. Raises
    ValueError for a part that is no square.
    """

    recipe: Literal["paper", "v2"] = setting("the latter is the second Depth Anything's: head, input, loss", "paper")
    height: Positive = setting("pixels, whole patches (paper: 392)", 392)
    width: Positive = setting("paper: 518", 518)
    crop: Literal["none", "kitti_benchmark"] = setting("the latter is the paper's for KITTI", "none")
    brightness: Share = setting("paper: 0.25 for NYUv2, 0.1 for KITTI; v2 changes none", 0.25)

    def __post_init__(self) -> None:
        if self.recipe == "v2" and self.height != self.width:
            raise ValueError(f"recipe = 'v2' takes squares: height = {self.height} and width = {self.width} differ")


@dataclass(frozen=True, kw_only=True)
class MetricSettings(MetricInput):
    """`start`: "encoder" keeps the encoder of the relative model (paper), "all" its decoder too (released code; for
    MiDaS and ZoeDepth the one that they came with)."""

    start: Literal["encoder", "all"] = setting("whether the decoder is taken over too (released code: all)", "encoder")
    maximum: PositiveNumber = setting("meters", 10.0)
    epochs: PositiveNumber = setting("paper: 5; V2: 120", 5.0)
    batch: Positive = setting("paper: 16", 16)
    learning_rate: PositiveNumber = setting("of the head (paper: 1.61e-4)", 1.61e-4)
    reduction: PositiveNumber = setting("encoder and decoder learn so many times slower (paper: 50)", 50.0)
    weight_decay: NotNegativeNumber = setting("paper: 0.01", 0.01)
    gradient_clip: PositiveNumber = setting("largest norm of the gradient (paper: 0.1)", 0.1)
    strength: PositiveNumber = setting("of the attractors of bins (official trainings: 300, configured 1000)", 300.0)
