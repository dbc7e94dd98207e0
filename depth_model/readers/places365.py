"""Places365: pictures of places, in its tar files or unpacked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from depth_model.reading import image_sets


@dataclass(frozen=True)
class Options:
    """`resolution`: "large" (short side 512 at most) or "256" (256 x 256), the two sizes of the release."""

    resolution: Literal["large", "256"] = "large"


@cache
def _set(options: Options) -> image_sets.ImageSet:
    size = options.resolution
    return image_sets.ImageSet(
        archives=re.compile(rf"(?:.*/)?train_{size}_places365(?:standard|challenge)\.tar"),
        images=re.compile(rf"(?:.*/)?data_{size}(?:_standard|_challenge)?/([a-z]/.+)\.jpg"),
    )


READER = image_sets.reader(
    name="places365",
    options=Options,
    of=_set,
    layout="""
        train_large_places365standard.tar         holds data_large/a/abbey/00000001.jpg
                                                  or the same unpacked: data_large/a/abbey/00000001.jpg
                                                  (data_large_standard and …challenge.tar likewise)
    """,
    description="Pictures of 365 kinds of places, at their larger size unless told otherwise.",
    license="research and education, not commercial",
    images="1.8M (standard), 8.0M (challenge); the paper: 6.5M, chosen in a way it does not tell",
    where="http://places2.csail.mit.edu/download-private.html",
    paper="unlabeled (Table 1)",
)
