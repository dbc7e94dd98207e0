"""BDD100K: frames of its driving videos, one in ten."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from depth_model.reading import image_sets
from depth_model.reading.reader import always


@dataclass(frozen=True)
class Options:
    """`every`: the distance between two frames that are taken; the paper's number is met by 10."""

    every: int = 10

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every = {self.every}: must be at least 1")


@cache
def _set(options: Options) -> image_sets.ImageSet:
    return image_sets.ImageSet(
        archives=re.compile(r"videos/train/[\w-]+\.mov"),
        images=re.compile(r"videos/train/([\w-]+)\.mov/(\d+)\.jpg"),
        every=options.every,
    )


READER = image_sets.reader(
    name="bdd100k",
    options=Options,
    of=_set,
    expected=always("videos/train"),
    layout="""
        videos/train/0000f77c-6257be58.mov         40 seconds, 30 frames a second, 1280 x 720 pixels
    """,
    description="Frames sampled evenly from the videos of the part `train`, stored as JPEG of quality 95: as many as "
    "the header of a video announces.",
    license="BDD100K license: education, research and not for profit",
    images="70,000 videos; 8.2M frames at one in ten",
    where="http://bdd-data.berkeley.edu (Videos, 1.8 TB)",
    paper="unlabeled (Table 1)",
)
