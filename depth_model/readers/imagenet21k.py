"""ImageNet-21K: a folder or a tar file for each synset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from depth_model.reading import image_sets


@dataclass(frozen=True)
class Options:
    """There are none."""


@cache
def _set(options: Options) -> image_sets.ImageSet:
    return image_sets.ImageSet(
        archives=re.compile(r"(?:.*/)?n\d{8}\.tar"),
        images=re.compile(r"(?:.*/)?n\d{8}(?:\.tar)?/(n\d{8}_\d+)\.JPEG"),
    )


def _expected(options: Options) -> tuple[str, ...]:
    return ("n* | */n*",)


READER = image_sets.reader(
    name="imagenet21k",
    options=Options,
    of=_set,
    expected=_expected,
    layout="""
        n00004475.tar          holds n00004475_6590.JPEG
        ...                    or the same unpacked: n00004475/n00004475_6590.JPEG
    """,
    description="Pictures by what they show; the number of the paper is that of the release of winter 2021.",
    license="ImageNet terms of access: research and education, not commercial",
    images="13,153,500 in 19,167 synsets",
    where="https://image-net.org/download-images (winter21_whole.tar.gz, unpacked once)",
    paper="unlabeled (Table 1)",
)
