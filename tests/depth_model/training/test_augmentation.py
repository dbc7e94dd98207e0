"""Augmentation against torchvision and against geometry one can see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from depth_model.training import augmentation
from depth_model.training.augmentation import crop_image, crop_raster, draw_crop
from depth_model.training.settings import Perturbation

STRONG = Perturbation(0.5, 0.5, 0.5, 0.25, 0.8, 0.5, (0.1, 2.0), 0.5)


@pytest.fixture(scope="module")
def photograph():
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[::3, ::2])


def difference(ours, theirs):
    return np.abs(ours.astype(int) - np.asarray(theirs).astype(int))


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.5, 0.83, 1.0, 1.5])
def test_color_adjustments_are_torchvisions(photograph, name, factor):
    theirs = getattr(functional, f"adjust_{name}")(Image.fromarray(photograph), factor)
    ours = getattr(augmentation, f"adjust_{name}")(photograph, factor)
    assert difference(ours, theirs).max() <= 2


@pytest.mark.parametrize("turn", [-0.25, -0.1, 0.05, 0.25])
def test_hue_is_torchvisions_up_to_its_eight_bits(photograph, turn):
    exact = functional.adjust_hue(torch.from_numpy(photograph).permute(2, 0, 1) / 255, turn)
    theirs = 255 * exact.permute(1, 2, 0).numpy()
    ours = augmentation.adjust_hue(photograph, turn)
    assert difference(ours, theirs).mean() < 1
    assert difference(ours, theirs).max() <= 6
    assert difference(photograph, theirs).mean() > 2


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0])
def test_blur_is_a_gaussian(photograph, sigma):
    always = Perturbation(0, 0, 0, 0, 0.0, 1.0, (sigma, sigma), 0)
    ours = augmentation.perturb(photograph, always, np.random.default_rng(0))
    tensor = torch.from_numpy(photograph).permute(2, 0, 1)
    theirs = functional.gaussian_blur(tensor, 2 * round(4 * sigma) + 1, sigma).permute(1, 2, 0)
    assert difference(ours, theirs).max() <= 3


def test_jitter_draws_its_order(photograph):
    black_then_contrast = Perturbation(0.9, 0.9, 0.9, 0.4, 1.0, 0.0, (1, 1), 0)
    results = {
        augmentation.perturb(photograph, black_then_contrast, np.random.default_rng([1, i])).tobytes() for i in range(8)
    }
    assert len(results) == 8


def test_perturbation_happens_as_often_as_asked(photograph):
    image = photograph[:20, :20]
    only_jitter = Perturbation(0.5, 0.5, 0.5, 0.25, 0.8, 0.0, (1, 1), 0)
    changed = sum(
        bool(difference(image, augmentation.perturb(image, only_jitter, np.random.default_rng(i))).any())
        for i in range(500)
    )
    assert 0.75 < changed / 500 < 0.85


def test_no_perturbation_leaves_the_image(photograph):
    nothing = Perturbation(0.5, 0.5, 0.5, 0.25, 0.0, 0.0, (0.1, 2.0), 0)
    result = augmentation.perturb(photograph, nothing, np.random.default_rng(0))
    np.testing.assert_array_equal(result, photograph)


def test_the_same_generator_gives_the_same_bytes(photograph):
    first, second = (augmentation.perturb(photograph, STRONG, np.random.default_rng([7, 3])) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def ramp(height, width):
    """An image whose red tells the column and whose green tells the row, in 0 ... 255."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = 255 * (columns + 0.5) / width, 255 * (rows + 0.5) / height
    return np.stack([red, green, np.zeros_like(red)], -1).astype(np.uint8)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("label_shape", [(90, 150), (45, 75), (56, 98)])
def test_image_and_label_stay_together(seed, label_shape):
    crop = draw_crop(np.random.default_rng(seed), 90, 150, 56)
    image = crop_image(ramp(90, 150), crop)
    label = crop_raster(ramp(*label_shape)[..., 0].astype(np.float32), crop)
    assert image.shape == (56, 56, 3)
    assert label.shape == (56, 56)
    inner = (slice(2, -2), slice(2, -2))
    assert np.abs(image[..., 0].astype(float) - label)[inner].max() <= 255 / label_shape[1] + 3
    assert (image[0, -1, 0] < image[0, 0, 0]) == crop.flip


def test_crops_reach_every_place_and_flip_half_of_the_time():
    crops = [draw_crop(np.random.default_rng(i), 28, 70, 28) for i in range(600)]
    assert {crop.left for crop in crops} == set(range(43))
    assert {crop.top for crop in crops} == {0}
    assert 0.4 < np.mean([crop.flip for crop in crops]) < 0.6


def test_labels_are_never_mixed():
    label = np.where(np.arange(100)[None] < 50, 1.0, 9.0).repeat(80, 0).astype(np.float32)
    label[3, 3] = np.nan
    result = crop_raster(label, draw_crop(np.random.default_rng(1), 80, 100, 70))
    assert set(np.unique(result[~np.isnan(result)])) == {1.0, 9.0}


def test_a_label_of_the_networks_size_is_taken_as_it_is():
    label = np.random.default_rng(0).random((56, 98)).astype(np.float32)
    crop = draw_crop(np.random.default_rng(4), 300, 524, 56)
    assert (crop.height, crop.width) == label.shape
    window = label[crop.top : crop.top + 56, crop.left : crop.left + 56]
    np.testing.assert_array_equal(crop_raster(label, crop), window[:, ::-1] if crop.flip else window)


def test_resizing_is_opencvs_bicubic_without_antialiasing(photograph):
    import cv2

    crop = augmentation.Crop(70, 112, 0, 20, 70, False)
    whole = cv2.resize(photograph, (112, 70), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(crop_image(photograph, crop), whole[:, 20:90])
