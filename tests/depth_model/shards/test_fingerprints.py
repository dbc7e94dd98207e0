"""Fingerprints against pictures whose gradients are known, and crops and mirror images of photographs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from depth_model.readers import scikit_image
from depth_model.shards import fingerprints


@pytest.fixture(scope="module")
def photographs():
    """Five real photographs, PIL images, by key."""
    read = scikit_image.READER(subset="photographs")
    return {sample.key: Image.open(io.BytesIO(sample.image)).convert("RGB") for sample in read}


def small(image):
    return fingerprints.thumbnail(np.asarray(image))


def nearest(searched, other):
    """(distance, where) of the window in which one of the stored windows of the thumbnail `other` fits best."""
    stored = fingerprints.window_bits(other, fingerprints.STORED)
    distances = np.bitwise_count(searched.bits ^ stored[searched.stored]).sum(-1)
    best = int(distances.argmin())
    return int(distances[best]), (searched.places[best], int(searched.stored[best]), bool(searched.mirrored[best]))


def cropped(image, share, left=0.5, top=0.5):
    width, height = (round(side * share) for side in image.size)
    x, y = round((image.width - width) * left), round((image.height - height) * top)
    return image.crop((x, y, x + width, y + height))


def test_the_bits_of_ramps_are_known():
    across = np.repeat(np.arange(192, dtype=np.uint8)[None], 192, 0)
    whole = np.array([[0.0, 0, 1, 1]])
    every = 2**64 - 1
    assert fingerprints.window_bits(across, whole).tolist() == [[every, 0]]
    assert fingerprints.window_bits(across.T.copy(), whole).tolist() == [[0, every]]
    assert fingerprints.window_bits(across[:, ::-1].copy(), whole).tolist() == [[0, 0]]
    assert not fingerprints.informative(fingerprints.window_bits(np.full((192, 192), 7, np.uint8), whole))[0]


def test_a_window_has_the_bits_of_the_picture_cut_out(photographs):
    gray = small(photographs["astronaut"])
    inside = np.array([[0.25, 0.125, 0.5, 0.5]])
    cut = np.repeat(np.repeat(gray[48:144, 24:120], 2, 0), 2, 1)  # twice as large: the same means
    assert np.array_equal(
        fingerprints.window_bits(gray, inside), fingerprints.window_bits(cut, np.array([[0.0, 0, 1, 1]]))
    )


def test_mirrored_bits_are_those_of_the_mirrored_picture(photographs):
    for image in photographs.values():
        gray = small(image)
        mirrored = fingerprints.window_bits(np.ascontiguousarray(gray[:, ::-1]), fingerprints.STORED)
        assert (
            np.bitwise_count(
                fingerprints.mirrored_bits(fingerprints.window_bits(gray, fingerprints.STORED)) ^ mirrored
            ).sum()
            <= 2
        )


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(("share", "left", "top"), [(1, 0, 0), (0.95, 0.3, 1), (0.87, 0, 0), (0.8, 0.6, 0.2)])
def test_crops_are_found_in_both_directions_and_the_pixels_confirm_them(photographs, share, left, top, mirror):
    for image in photographs.values():
        crop = cropped(image, share, left, top)
        crop = ImageOps.mirror(crop) if mirror else crop
        for ours, theirs in ((small(image), small(crop)), (small(crop), small(image))):
            distance, where = nearest(fingerprints.searched_windows(ours), theirs)
            assert distance <= 18
            assert fingerprints.correlation(ours, theirs, *where) > 0.6


def test_other_pictures_are_far_and_unlike(photographs):
    for key, image in photographs.items():
        searched = fingerprints.searched_windows(small(image))
        for other, theirs in photographs.items():
            if other != key:
                distance, where = nearest(searched, small(theirs))
                assert distance > 24
                assert fingerprints.correlation(small(image), small(theirs), *where) < 0.3


def test_the_same_picture_is_not_one_in_which_something_moved(photographs):
    image = photographs["coffee"]
    ours = small(image)
    buffer = io.BytesIO()
    image.resize((300, 200)).save(buffer, "JPEG", quality=40)
    assert fingerprints.same_picture(ours, small(Image.open(buffer).convert("RGB"))) > 0.9
    assert fingerprints.same_picture(ours, small(ImageOps.mirror(image))) > 0.9
    assert fingerprints.same_picture(ours, small(cropped(image, 0.95))) < 0.5
    flat = np.full((192, 192), 90, np.uint8)
    assert fingerprints.same_picture(flat, flat) == 0
    assert fingerprints.correlation(flat, flat, np.array([0, 0, 1, 1.0]), 0, False) == 0
