"""The figure of pictures and models: alignment to the first model, and where what stands."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from depth_model.comparison.gallery import WIDEST, gallery, shown
from depth_model.errors import BadInput
from depth_model.prediction.estimator import Estimator

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
DISPARITY = np.random.default_rng(1).uniform(0.1, 1, (40, 60))


def of(space, values):
    return Estimator(space, lambda image, names: values)


def test_models_that_say_the_same_in_other_units_and_spaces_look_the_same():
    models = {
        "first": of("disparity", DISPARITY),
        "scaled": of("disparity", 7 * DISPARITY - 3),
        "inverted": of("disparity", 5 - DISPARITY),
        "meters": of("metric_depth", 2 / DISPARITY),
    }
    one = shown(models, "a.jpg", IMAGE)
    low, high = np.quantile(DISPARITY, (0.01, 0.99))
    np.testing.assert_allclose(one.maps["first"], np.clip((DISPARITY - low) / (high - low), 0, 1))
    for title in ("scaled", "inverted", "meters"):
        np.testing.assert_allclose(one.maps[title], one.maps["first"], atol=1e-6)


def test_pictures_are_made_smaller_and_what_is_not_finite_is_refused():
    one = shown({"m": of("disparity", np.ones((80, 2000)))}, "a", np.zeros((80, 2000, 3), np.uint8))
    assert one.image.shape[1] == one.maps["m"].shape[1] == WIDEST
    with pytest.raises(BadInput, match="not finite"):
        shown({"m": of("disparity", np.full((40, 60), np.nan))}, "a", IMAGE)


@pytest.mark.parametrize(("models", "pictures", "ratio"), [(1, 6, 4 / 4), (3, 2, 4 / 2)])
def test_one_model_stands_below_its_pictures_and_several_side_by_side(models, pictures, ratio):
    estimators = {f"m{number}": of("disparity", DISPARITY) for number in range(models)}
    rows = [shown(estimators, f"{number}.jpg", IMAGE) for number in range(pictures)]
    made = gallery(rows, "Spectral_r")
    size = Image.open(io.BytesIO(made)).size
    assert size[0] / size[1] == pytest.approx(ratio * 60 / 40, rel=0.2)
    assert made == gallery(rows, "Spectral_r")
