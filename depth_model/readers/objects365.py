"""Objects365: pictures with everyday objects, in its patches; the boxes are not read."""

from __future__ import annotations

from depth_model.reading import image_sets

READER = image_sets.plain_reader(
    name="objects365",
    archives=r"train/(?:.*/)?patch\d+\.tar(?:\.gz)?",
    pictures=r"train/(?:.*/)?(objects365_v[12]_\d+)\.jpg",
    expected=("train",),
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
