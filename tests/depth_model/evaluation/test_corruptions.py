"""Corruptions of images against closed forms, and what the harness shows to a model."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from depth_model.evaluation.cases import Case
from depth_model.evaluation.corruptions import AIR, NIGHT, NOISE, TRANSMISSION, corrupted
from depth_model.evaluation.harness import image_rows
from depth_model.evaluation.protocols import CORRUPTIONS, GENERIC, SEVERITIES, Protocol
from depth_model.prediction.estimator import Estimator

GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.integers(0, 256, (112, 160, 3), np.uint8)
DEPTH = np.broadcast_to(np.linspace(2, 10, 160), (112, 160)).astype(np.float32)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_more_severity_takes_more_away_and_the_same_call_gives_the_same_bytes(kind):
    smooth = np.kron(GENERATOR.integers(30, 226, (7, 10, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    changes = []
    for severity in SEVERITIES:
        made = corrupted(smooth, DEPTH, kind, severity, "a")
        assert made.shape == smooth.shape and made.dtype == np.uint8
        assert made.tobytes() == corrupted(smooth, DEPTH, kind, severity, "a").tobytes()
        changes.append(float(np.abs(made.astype(float) - smooth).mean()))
    assert changes[0] > 1 and all(after > before for before, after in pairwise(changes))


def test_fog_is_koschmieders_law_in_linear_light_and_the_unit_of_depth_is_no_matter():
    foggy = corrupted(IMAGE, DEPTH, "fog", 4, "a")
    arrives = TRANSMISSION[3] ** (DEPTH / np.median(DEPTH))[:, :, None]
    light = (IMAGE / 255) ** 2.2 * arrives + AIR * (1 - arrives)
    np.testing.assert_allclose(foggy, light ** (1 / 2.2) * 255, atol=0.51)
    np.testing.assert_array_equal(foggy, corrupted(IMAGE, DEPTH * 1000, "fog", 4, "a"))


def test_fog_fills_small_gaps_of_truth_and_hides_the_sky():
    holes = DEPTH.copy()
    holes[60:64, 40:44] = np.nan
    holes[:40] = np.nan
    foggy = corrupted(IMAGE, holes, "fog", 1, "a")
    sky = round(AIR ** (1 / 2.2) * 255)
    assert (foggy[:25] == sky).all()
    median = np.nanmedian(holes)
    arrives = TRANSMISSION[0] ** (DEPTH[61, 42] / median)
    light = (IMAGE[61, 42] / 255) ** 2.2 * arrives + AIR * (1 - arrives)
    np.testing.assert_allclose(foggy[61, 42], light ** (1 / 2.2) * 255, atol=3)


def test_noise_and_night_have_the_mean_and_the_spread_of_their_laws():
    gray = np.full((200, 200, 3), 128, np.uint8)
    assert corrupted(gray, DEPTH, "noise", 1, "a").std() / 255 == pytest.approx(NOISE[0], rel=0.03)
    brightness, photons = NIGHT[0]
    light = (corrupted(gray, DEPTH, "night", 1, "a") / 255) ** 2.2
    expected = (128 / 255) ** 2.2
    assert light.mean() == pytest.approx(brightness * expected, rel=0.02)
    assert light.std() == pytest.approx(brightness * np.sqrt(expected / photons), rel=0.1)


@pytest.mark.parametrize("kind", ["defocus_blur", "motion_blur"])
def test_blur_keeps_the_mean_and_takes_the_contrast(kind):
    blurred = corrupted(IMAGE, DEPTH, kind, 3, "a")
    assert blurred.mean() == pytest.approx(IMAGE.mean(), rel=0.03)
    assert blurred.std() < 0.5 * IMAGE.std()


def test_a_model_sees_the_spoiled_image_and_is_measured_against_the_same_truth():
    seen = []

    def predict(image, names):
        seen.append(image)
        return 1 / DEPTH

    model, case = Estimator("disparity", predict), Case("a", IMAGE, DEPTH, "metric_depth")
    protocol = replace(GENERIC, corruption="night", severity=5)
    clean, dark = (image_rows({"m": model}, case, one)[0] for one in (GENERIC, protocol))
    np.testing.assert_array_equal(seen[0], IMAGE)
    np.testing.assert_array_equal(seen[1], corrupted(IMAGE, DEPTH, "night", 5, "a"))
    assert clean == dark


@pytest.mark.parametrize("change", [{"corruption": "rain"}, {"corruption": "fog", "severity": 6}])
def test_a_corruption_that_there_is_not_is_refused(change):
    with pytest.raises(ValueError, match="choose one of"):
        Protocol(**change)
