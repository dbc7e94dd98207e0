"""Augmentation and batches of metric fine-tuning: geometry is kept, strengths are those of the released code."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy import ndimage

from depth_model.errors import BadInput
from depth_model.metric.training.augmentation import augmented, benchmark_crop, jittered, rotated
from depth_model.metric.training.batches import metric_batch
from depth_model.metric.training.settings import MetricInput

INDOORS = MetricInput(height=28, width=42, crop="none", brightness=0.25)
SECOND = MetricInput(recipe="v2", height=28, width=28)


def test_the_benchmark_crop_is_that_of_the_devkit():
    depth = np.arange(375 * 1242, dtype=np.float32).reshape(375, 1242)
    np.testing.assert_array_equal(benchmark_crop(depth, depth.shape), depth[23:375, 13:1229])
    image = np.zeros((188, 621, 3), np.uint8)  # scaled down by two: the same part of the view
    assert benchmark_crop(image, depth.shape).shape == (176, 608, 3)
    with pytest.raises(BadInput, match="crop: none"):
        benchmark_crop(np.zeros((192, 256)), (192, 256))


@pytest.mark.parametrize("degrees", [0.7, -1.0])
def test_rotation_agrees_with_scipy_and_leaves_no_depth_in_the_corners(degrees):
    rows, columns = np.mgrid[0:121, 0:161]
    depth = (2 + rows / 40 + columns / 80).astype(np.float32)
    image = np.repeat((depth * 20).astype(np.uint8)[..., None], 3, 2)
    turned, labels = rotated(image, depth, degrees)
    expected = ndimage.rotate(depth, degrees, reshape=False, order=0, cval=np.nan)
    known = np.isfinite(expected) & np.isfinite(labels)
    assert known.mean() > 0.95
    assert abs(labels[known] - expected[known]).max() < 0.06  # a pixel apart at the most
    assert np.isnan(labels[0, 0]) or np.isnan(labels[0, -1])
    inner = np.s_[5:-5, 5:-5]
    assert abs(turned[inner][..., 0] - labels[inner] * 20).max() < 3


def test_colors_change_within_the_published_strengths():
    gray = np.full((2, 2, 3), 0.5, np.float32)
    drawn = np.stack([jittered(gray, 0.25, np.random.default_rng(seed))[0, 0] for seed in range(2000)])
    low = 0.5**1.1 * 0.75 * 0.9
    high = 0.5**0.9 * 1.25 * 1.1
    assert low <= drawn.min() < low * 1.05 and high * 0.95 < drawn.max() <= high
    assert (drawn.std(axis=1) > 0).mean() > 0.99  # each channel has a gain of its own
    assert jittered(np.ones((1, 1, 3), np.float32), 0.25, np.random.default_rng(0)).max() <= 1


def test_half_of_the_samples_are_mirrored_together_with_their_depth():
    depth = np.tile(np.linspace(1, 9, 64, dtype=np.float32), (48, 1))
    image = np.repeat((depth * 25).astype(np.uint8)[..., None], 3, 2)
    mirrored = 0
    for seed in range(200):
        values, labels = augmented(image, depth, INDOORS, np.random.default_rng(seed))
        assert values.dtype == labels.dtype == np.float32 and 0 <= values.min() and values.max() <= 1
        mirrored += bool(labels[24, 5] > labels[24, -5])
        assert np.corrcoef(values[20:28, 8:-8].mean(2).ravel(), labels[20:28, 8:-8].ravel())[0, 1] > 0.99
    assert 70 < mirrored < 130


def test_the_second_recipe_cuts_a_square_of_what_keeps_its_aspect_and_leaves_colors():
    rows, columns = np.mgrid[0:96, 0:144].astype(np.float32)
    image = np.stack((rows, columns, 0 * rows), 2).astype(np.uint8)
    places, mirrored = set(), 0
    for seed in range(60):
        values, depth = augmented(image, 1 + columns, SECOND, np.random.default_rng(seed))
        assert values.shape == (28, 28, 3) and depth.shape == (28, 28)
        assert values[..., 0].max() * 255 == pytest.approx(95, abs=3)  # the shorter side is seen from end to end
        seen = values[..., 1] * 255
        assert abs(seen - (depth - 1)).max() < 4
        assert abs(abs(np.diff(seen, axis=1)).mean() - 96 / 28) < 0.1
        mirrored += bool(depth[0, 0] > depth[0, -1])
        places.add(float(depth.min()))
    assert 15 < mirrored < 45 and len(places) > 5


def test_a_batch_is_a_function_of_seed_and_step(pools):
    make = partial(metric_batch, pools[0], 3, 4, INDOORS, 9.0)
    batch = make(5)
    assert batch["images"].shape == (4, 3, 28, 42) and batch["images"].dtype == torch.float32
    assert batch["depth"].shape == batch["valid"].shape == (4, 48, 64)
    again = make(5)
    assert again.pop("keys") == batch["keys"] and len(batch["keys"]) == 4
    for name, value in again.items():
        np.testing.assert_array_equal(value.numpy(), batch[name].numpy())
    assert not torch.equal(make(6)["images"], batch["images"])


def test_only_depth_in_range_counts(pools):
    batch = metric_batch(pools[0], 3, 6, INDOORS, 5.0, 0)
    known = torch.isfinite(batch["depth"])
    assert torch.equal(batch["valid"], known & (batch["depth"] > 1e-3) & (batch["depth"] < 5.0))
    assert 0 < batch["valid"].float().mean() < 1


def test_labels_that_are_no_meters_are_refused(pools):
    with pytest.raises(BadInput, match="not depth in meters"):
        metric_batch(pools[1], 3, 2, INDOORS, 9.0, 0)
