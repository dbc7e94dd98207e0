"""Objects365: pictures with everyday objects, in its patches; the boxes are not read."""

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
        archives=re.compile(r"train/(?:.*/)?patch\d+\.tar(?:\.gz)?"),
        images=re.compile(r"train/(?:.*/)?(objects365_v[12]_\d+)\.jpg"),
    )


def _expected(options: Options) -> tuple[str, ...]:
    return ("train",)


READER = image_sets.reader(
    name="objects365",
    options=Options,
    of=_set,
    expected=_expected,
    layout="""
        train/patch0.tar.gz … patch50.tar.gz      hold patch0/objects365_v1_00000123.jpg
                                                  or the same unpacked: train/patch0/objects365_v1_00000123.jpg
    """,
    description="1.7M pictures with objects of 365 kinds: the part `train`. A .tar.gz is read forward only: unpack it "
    "to plain tar files or folders when several processes collect.",
    license="CC BY 4.0 of the annotations; the pictures belong to their owners on Flickr",
    images="1,742,289 (v2, train)",
    where="https://www.objects365.org/",
    paper="unlabeled (Table 1)",
)
