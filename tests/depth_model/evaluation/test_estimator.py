"""What the network sees and how its map comes back, by every option of a protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from depth_model.errors import BadInput
from depth_model.evaluation.cases import Case
from depth_model.evaluation.estimator import cut, predicted
from depth_model.evaluation.protocols import GENERIC
from depth_model.prediction.estimator import Estimator


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def seen(image, size, **options):
    shapes = []

    def predict(shown, names):
        shapes.append(shown.shape[:2])
        return shown[:, :, 0].astype(np.float32)

    values = predicted(Estimator("disparity", predict), image, "a", size, replace(GENERIC, **options))
    return values, shapes


def test_by_default_the_model_sees_the_image_as_it_is(picture):
    values, shapes = seen(picture, (60, 80))
    assert shapes == [(60, 80)]
    np.testing.assert_array_equal(values, picture[:, :, 0])


def test_the_image_is_brought_to_the_size_of_the_protocol_and_the_map_to_the_truth(picture):
    assert seen(picture, (60, 80), image_size=(24, 40))[1] == [(24, 40)]
    values, shapes = seen(picture, (60, 80), image_short_side=30)
    assert (values.shape, shapes) == ((60, 80), [(30, 40)])


def test_flip_averaging_is_the_mean_with_the_mirrored_map():
    ramp = np.tile(np.linspace(0, 200, 80), (60, 1)).astype(np.uint8)[:, :, None].repeat(3, 2)

    def leaning(shown, names):
        return (shown[:, :, 0] + np.arange(80)).astype(np.float32)

    values = predicted(Estimator("depth", leaning), ramp, "a", (60, 80), replace(GENERIC, flip_averaging=True))
    np.testing.assert_allclose(values, ramp[:, :, 0] + 79 / 2)


@pytest.mark.parametrize("corners", [True, False])
def test_maps_are_enlarged_with_or_without_aligned_corners(picture, corners):
    values, _ = seen(picture, (90, 100), align_corners=corners)
    small = torch.from_numpy(picture[:, :, 0].astype(np.float32))[None, None]
    expected = torch.nn.functional.interpolate(small, (90, 100), mode="bilinear", align_corners=corners)[0, 0]
    np.testing.assert_allclose(values, expected.numpy(), rtol=1e-6)
    assert (values[-1, -1] == picture[-1, -1, 0]) and (values[0, 50] == seen(picture, (90, 100))[0][0, 50]) != corners


def test_the_benchmark_crop_cuts_image_truth_and_stored_predictions_alike():
    image = np.random.default_rng(0).integers(0, 256, (375, 1242, 3), np.uint8)
    protocol = replace(GENERIC, image_crop="kb", flip_averaging=True)
    target = image[:, :, 0].astype(np.float32)
    found = cut(Case("a", image, target, "metric_depth", intrinsics=(700.0, 700.0, 600.0, 180.0)), protocol)
    part, truth = found.image, found.target
    assert found.intrinsics == (700, 700, 600 - 13, 180 - 23)
    np.testing.assert_array_equal(truth, target[23:375, 13:1229])
    stored = Estimator("depth", lambda shown, names: target, stored=True)
    np.testing.assert_array_equal(predicted(stored, part, "a", truth.shape, protocol), truth)
    with pytest.raises(BadInput, match="max_side"):
        cut(Case("a", image[::2, ::2], target, "metric_depth"), protocol)
