"""Open Images V7: photographs from Flickr, in its archives or unpacked; the annotations are not read."""

from __future__ import annotations

from depth_model.reading import image_sets

READER = image_sets.plain_reader(
    name="open_images",
    archives=r"(?:train/)?train_[0-9a-f]\.tar(?:\.gz)?",
    pictures=r"train(?:/|_[0-9a-f](?:\.tar(?:\.gz)?)?/)(?:.*/)?([0-9a-f]{16})\.jpg",
    expected=("train*",),
    layout="""
        train_0.tar.gz … train_f.tar.gz           hold train_0/000002b66c9c498e.jpg
                                                  or the same unpacked: train/000002b66c9c498e.jpg (or train_0/…)
    """,
    description="Photographs of everyday scenes: the part `train`. The paper took 7.8M of 9.0M.",
    license="CC BY 2.0 as listed; CC BY 4.0 of the annotations",
    images="9,011,219 published, 7.8M used",
    where="https://storage.googleapis.com/openimages/web/download_v7.html",
    paper="unlabeled (Table 1)",
)
