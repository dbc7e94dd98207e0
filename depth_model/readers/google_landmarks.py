"""Google Landmarks v2: pictures of landmarks in three levels of folders, in its tar files or unpacked."""

from __future__ import annotations

from depth_model.reading import image_sets

READER = image_sets.plain_reader(
    name="google_landmarks",
    archives=r"train/images_\d{3}\.tar",
    pictures=r"train/(?:images_\d{3}\.tar/)?(?:[0-9a-f]/){3}([0-9a-f]{16})\.jpg",
    expected=("train",),
    layout="""
        train/images_000.tar … images_499.tar     hold 0/0/0/0001f0a0c1b2d3e4.jpg
                                                  or the same unpacked: train/0/0/0/0001f0a0c1b2d3e4.jpg
    """,
    description="4.1M pictures of landmarks: the part `train`; index and test pictures are not read.",
    license="CC BY, CC BY-SA or public domain, picture by picture (train_attribution.csv)",
    images="4,132,914",
    where="https://github.com/cvdfoundation/google-landmark",
    paper="unlabeled (Table 1)",
)
