"""The settings of fine-tuning to segmentation. Defaults are those of the paper (section 4.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from depth_model.semantic.heads.settings import Mask2FormerSettings
from depth_model.settings import NotNegative, NotNegativeNumber, Positive, PositiveNumber, setting


@dataclass(frozen=True, kw_only=True)
class SemanticSettings:
    """`start`: "encoder" as in the paper, "all" with the decoder that MiDaS and ZoeDepth came with, whose maps the head
    reads. `mask2former`: sizes of that head, None for the paper's; only with `head` mask2former. Raises ValueError for
    settings that do not agree."""

    start: Literal["encoder", "all"] = setting("whether the decoder of MiDaS or ZoeDepth is taken over too", "encoder")
    head: Literal["linear", "mask2former"] = setting("paper: mask2former", "mask2former")
    mask2former: Mask2FormerSettings | None = None
    crop: Positive = setting("pixels, whole patches (paper: 896)", 896)
    iterations: Positive = setting("paper: 160,000 for ADE20K, 80,000 for Cityscapes", 160000)
    batch: Positive = setting("paper: 16", 16)
    learning_rate: PositiveNumber = setting("of the head (paper: 3e-5)", 3e-5)
    reduction: PositiveNumber = setting("the encoder learns so many times slower (paper: 10)", 10.0)
    weight_decay: NotNegativeNumber = setting("paper: 0.05", 0.05)
    warmup: NotNegative = setting("iterations (paper: 1500)", 1500)
    gradient_clip: PositiveNumber = setting("largest norm of the gradient (paper: 0.01)", 0.01)

    def __post_init__(self) -> None:
        if self.mask2former is not None and self.head != "mask2former":
            raise ValueError("mask2former: give the sizes of this head only where head is mask2former")
        if self.warmup >= self.iterations:
            raise ValueError(f"warmup = {self.warmup}: must be below the {self.iterations} iterations")

    @property
    def chosen_head(self) -> str | Mask2FormerSettings:
        """What a `Segmentation` is built with: "linear", or the sizes of a Mask2Former."""
        return self.head if self.head == "linear" else self.mask2former or Mask2FormerSettings()
