"""ImageNet-21K: a folder or a tar file for each synset."""

from __future__ import annotations

from depth_model.reading import image_sets

READER = image_sets.plain_reader(
    name="imagenet21k",
    archives=r"(?:.*/)?n\d{8}\.tar",
    pictures=r"(?:.*/)?n\d{8}(?:\.tar)?/(n\d{8}_\d+)\.JPEG",
    expected=("n* | */n*",),
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
