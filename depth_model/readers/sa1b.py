"""SA-1B: the pictures of Segment Anything, in its tar files or unpacked; the masks beside them are not read."""

from __future__ import annotations

from depth_model.reading import image_sets

READER = image_sets.plain_reader(
    name="sa1b",
    archives=r"(?:.*/)?sa_\d{6}\.tar",
    pictures=r"(?:.*/)?(sa_\d+)\.jpg",
    expected=("sa_* | */sa_*",),
    layout="""
        sa_000000.tar          holds ./sa_1.jpg and ./sa_1.json
        sa_000001.tar
        ...                    or the same unpacked, in folders of any name: sa_000000/sa_1.jpg
    """,
    description="11.1M licensed photographs, short side 1500 pixels, with faces and number plates blurred.",
    license="SA-1B Dataset Research License",
    images="11.1M in 1000 archives",
    where="https://ai.meta.com/datasets/segment-anything-downloads/",
    paper="unlabeled (Table 1)",
)
