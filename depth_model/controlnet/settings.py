"""How a ControlNet is trained. Defaults are ControlNet's own where it says."""

from __future__ import annotations

from dataclasses import dataclass

from depth_model.settings import NotNegative, Positive, PositiveNumber, Probability, setting


@dataclass(frozen=True, kw_only=True)
class ControlNetSettings:
    """The training of a ControlNet; the base stays as it is."""

    steps: Positive = setting("of `batch` images", 50_000)
    batch: Positive = setting("images a step", 4)
    side: Positive = setting("of the square crop in pixels, a multiple of the base's stride (512 for SD 1.5)", 512)
    learning_rate: PositiveNumber = setting("ControlNet: 1e-5", 1e-5)
    empty_captions: Probability = setting("share of images without their caption (ControlNet: 0.5)", 0.5)
    held_out: NotNegative = setting("images that are not learned from, to measure on", 16)
    seed: NotNegative = setting("of every random number", 7)


TINY_SETTINGS = ControlNetSettings(steps=600, batch=8, side=32, learning_rate=4e-3, held_out=64)
"""For the tiny base: minutes on one core of a CPU."""
