"""When two images count as the same picture, and when a collection has drifted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from depth_model.settings import PositiveNumber, Probability, setting


@dataclass(frozen=True, kw_only=True)
class AuditRules:
    """From which fingerprint distance (bits of 128) a pair is looked at, and from which correlation of its details
    (0 to 1) it counts."""

    leak_distance: Annotated[int, Ge(0), Le(15)] = setting(
        "bits of 128, at most 15: a training image this near an evaluation image is compared", 15
    )
    leak_correlation: Probability = setting("of details, from which it is a leak and left out", 0.5)
    duplicate_distance: Annotated[int, Ge(0), Le(6)] = setting(
        "bits of 128, at most 6: the same between training images", 6
    )
    duplicate_correlation: Probability = setting("", 0.8)


@dataclass(frozen=True, kw_only=True)
class DriftSettings:
    """From which distance to the accepted collection on there is a warning, or no catalog."""

    tolerance: PositiveNumber = setting("population stability index of histograms; relative change of counts", 0.25)
    action: Literal["warn", "stop"] = setting("what a larger distance does", "warn")
