"""Pictures of your own inside tar, tar.gz and zip files, LMDB databases and videos, at any depth below a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from depth_model.reading import archives, image_sets
from depth_model.reading.inputs import IMAGE_PATTERNS, loose_wildcard


@dataclass(frozen=True)
class Options:
    """Which members are images.

    `pattern`: one or more patterns, in which `*` stands for any part of one name, matched without regard to case
    against the last component of a member's name; a value of an LMDB database and a frame of a video always count.
    `every`: one frame of a video in so many. `follow_links`: links may lead out of the root.
    """

    pattern: str | tuple[str, ...] = IMAGE_PATTERNS
    every: int = 1
    follow_links: bool = False

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every = {self.every}: must be at least 1")


@cache
def _set(options: Options) -> image_sets.ImageSet:
    patterns = (options.pattern,) if isinstance(options.pattern, str) else options.pattern
    names = "|".join(map(loose_wildcard, patterns))
    packed = "|".join(re.escape(suffix) for suffix in archives.PACKED_SUFFIXES)
    always = "|".join(re.escape(suffix) for suffix in (*archives.LMDB_NAMES, *archives.VIDEO_SUFFIXES))
    return image_sets.ImageSet(
        archives=re.compile(rf"(?i:.*(?:{packed}|{always}))"),
        images=re.compile(rf"(?is)(.*(?:{packed})/(?:.*/)?(?:{names}))|(.*(?:{always})/.+)"),
        every=options.every,
        all_counted=True,
    )


READER = image_sets.reader(
    name="image_archives",
    options=Options,
    of=_set,
    all_counted=True,
    layout="""
        holiday.zip                    pictures (see image_folder) at any depth
        2024/part-0.tar, part-1.tar.gz
        scenes_lmdb/data.mdb           every value is an encoded picture (or scenes.lmdb, a file)
        walk.mp4                       .mp4 .mov .avi .mkv .webm .m4v: frames, stored as JPEG of quality 95
    """,
    description="Pictures of your own in archives and videos, without labels, read where they lie. "
    "Plain tar, zip and LMDB are read at random; tar.gz and videos forward, so one process is best for these.",
    license="that of your pictures",
    images="as many as there are",
    where="any folder of yours",
    paper="not in the paper",
)
