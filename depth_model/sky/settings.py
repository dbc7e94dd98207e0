"""How the sky of labeled images is found, and where class maps come from."""

from __future__ import annotations

from dataclasses import dataclass

from depth_model.settings import Probability, setting

LABELS = "labels"
"""The segmenter of class maps that is none: the class labels of the data set."""


@dataclass(frozen=True, kw_only=True)
class SkySettings:
    """Which model finds the sky, and from which probability on (paper 3.1)."""

    segmenter: str = setting(
        "packaged_probe | none | a transformers segmentation model (folder or hub id)", "packaged_probe"
    )
    threshold: Probability = setting("", 0.5)
