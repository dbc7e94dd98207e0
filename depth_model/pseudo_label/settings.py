"""How the teacher labels the unlabeled images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from depth_model.settings import Positive, PositiveNumber, Precision, setting


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """What a pseudo label depends on beside the teacher (paper 3.2)."""

    short_side: Positive = setting("pixels, whole patches (paper: 518)", 518)
    bits: Annotated[int, Ge(8), Le(16)] = setting("of the quantized labels", 14)
    batch: Positive = setting("images in one pass at most", 8)
    precision: Precision = setting("", "fp32")
    quality: Literal["none", "flip"] = setting("score of an image by the teacher's view of its mirror image", "none")
    teachers: dict[str, PositiveNumber] = setting(
        "further models, {FOLDER: weight}, averaged with models/teacher (1, or its weight here) after alignment",
        factory=dict,
    )
