"""The protocol against plain loops with numpy's solver, and what becomes of images that cannot be measured."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from depth_model.datasets import readers
from depth_model.datasets.collecting import collect_source
from depth_model.datasets.sample import BadInput
from depth_model.datasets.source import SourceFolder
from depth_model.evaluation import relative_depth_metrics
from depth_model.evaluation.protocols import GENERIC, Protocol
from depth_model.evaluation.relative import chosen_examples, collapsed, evaluate, example, means


def slow_metrics(prediction, depth, low, high):
    """The whole protocol in plain Python, with numpy's own least squares."""
    pairs = [(p, d) for p, d in zip(prediction.ravel().tolist(), depth.ravel().tolist()) if low < d < high]
    matrix = np.array([[p, 1.0] for p, _ in pairs])
    (scale, shift), *_ = np.linalg.lstsq(matrix, np.array([1 / d for _, d in pairs]), rcond=None)
    estimates = []
    for p, d in pairs:
        disparity = scale * p + shift
        estimates.append((min(max(1 / disparity, low), high) if disparity > 0 else high, d))
    count = len(estimates)
    error = [math.log(p) - math.log(d) for p, d in estimates]
    return {
        "abs_rel": sum(abs(p - d) / d for p, d in estimates) / count,
        "delta1": sum(max(p / d, d / p) < 1.25 for p, d in estimates) / count,
        "delta3": sum(max(p / d, d / p) < 1.25**3 for p, d in estimates) / count,
        "rmse": math.sqrt(sum((p - d) ** 2 for p, d in estimates) / count),
        "log10": sum(abs(math.log10(p) - math.log10(d)) for p, d in estimates) / count,
        "silog": 100 * math.sqrt(sum(e * e for e in error) / count - (sum(error) / count) ** 2),
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_protocol_agrees_with_plain_loops(seed):
    generator = np.random.default_rng(seed)
    depth = generator.uniform(0.5, 100, (20, 30)).astype(np.float32)
    depth[generator.random(depth.shape) < 0.4] = np.nan
    prediction = (3 / depth + generator.normal(0, 0.3, depth.shape) + 2).astype(np.float32)
    prediction[np.isnan(prediction)] = 1
    measured = relative_depth_metrics(prediction, depth, "metric_depth", GENERIC)
    for name, expected in slow_metrics(prediction, depth, GENERIC.minimum, GENERIC.maximum).items():
        assert measured[name] == pytest.approx(expected, rel=1e-9), name


def test_an_affine_copy_of_the_truth_is_perfect():
    depth = np.random.default_rng(0).uniform(1, 10, (16, 16))
    measured = relative_depth_metrics(7 / depth + 3, depth, "metric_depth", GENERIC)
    assert measured["abs_rel"] == pytest.approx(0, abs=1e-9)
    assert measured["delta1"] == 1


def test_a_constant_gets_the_best_constant():
    depth = np.random.default_rng(0).uniform(1, 10, (16, 16))
    level = 1 / np.mean(1 / depth)
    measured = relative_depth_metrics(np.zeros_like(depth), depth, "metric_depth", GENERIC)
    assert measured["abs_rel"] == pytest.approx(np.mean(np.abs(level - depth) / depth))


def test_a_disparity_truth_is_blind_to_its_scale():
    generator = np.random.default_rng(0)
    disparity = generator.uniform(1, 90, (16, 16))
    prediction = disparity + generator.normal(0, 5, disparity.shape)
    one = relative_depth_metrics(prediction, disparity, "disparity", GENERIC)
    other = relative_depth_metrics(prediction, disparity * 1000, "disparity", GENERIC)
    for name in ("abs_rel", "delta1", "silog"):
        assert one[name] == pytest.approx(other[name], rel=1e-6)


def test_truth_out_of_range_and_too_little_of_it():
    depth = np.full((8, 8), 100.0)
    with pytest.raises(BadInput, match="0 pixels of truth"):
        relative_depth_metrics(np.ones((8, 8)), depth, "metric_depth", GENERIC)
    assert relative_depth_metrics(np.ones((8, 8)), depth, "metric_depth", Protocol(1e-3, 200))["abs_rel"] == 0


def test_a_prediction_that_is_not_finite_is_refused():
    with pytest.raises(BadInput, match="not finite"):
        relative_depth_metrics(np.full((8, 8), np.nan), np.ones((8, 8)), "metric_depth", GENERIC)


def test_affine_disparity_has_no_depth():
    with pytest.raises(BadInput, match="affine_disparity"):
        relative_depth_metrics(np.ones((8, 8)), np.ones((8, 8)), "affine_disparity", GENERIC)


COUNT = 5


@pytest.fixture
def source(tmp_path):
    """Collects five pictures whose red channel is depth in decimetres; the fifth has 9 pixels of truth."""

    def collected(kind="metric_depth"):
        generator = np.random.default_rng(0)
        for number in range(COUNT):
            depth = generator.integers(10, 250, (24, 32)).astype(np.uint16)
            pixels = np.repeat(depth[:, :, None], 3, 2).astype(np.uint8)
            if number == COUNT - 1:
                depth.ravel()[9:] = 0
            for name, image in (("rgb", pixels), ("depth", depth)):
                (tmp_path / name).mkdir(exist_ok=True)
                Image.fromarray(image).save(tmp_path / name / f"{number}.png")
        reader = readers.get("rgbd_folder")
        options = reader.options("rgb/*.png", "depth/*.png", unit=10.0, target_kind=kind)
        limits = {"max_side": 100, "minimum_side": 1, "samples_per_shard": 2, "workers": 1}
        collect_source(reader, tmp_path, options, tmp_path / "scratch", tmp_path / "source", **limits)
        return SourceFolder(tmp_path / "source")

    return collected


def seer(image):
    """A predictor that knows: the disparity that the pictures of `source` hide."""
    return (10 / image[:, :, 0]).astype(np.float32)


def noisy(image):
    return seer(image) + np.random.default_rng(int(image.sum())).normal(0, 0.05, image.shape[:2]).astype(np.float32)


def dead(image):
    return np.zeros(image.shape[:2], np.float32)


def count_of(calls):
    return lambda: calls.append(1)


def test_every_measurable_image_counts_once_for_every_model(source):
    calls = []
    folder = source()
    table, skipped = evaluate({"seer": seer, "noisy": noisy}, folder, GENERIC, count_of(calls))
    assert len(calls) == COUNT
    assert list(table["model"]) == ["seer", "noisy", "constant"] * (COUNT - 1)
    assert [one["key"] for one in skipped] == ["4"]
    assert skipped[0]["reason"].startswith("9 pixels of truth")
    average = means(table)
    assert average["seer"]["abs_rel"] == pytest.approx(0, abs=1e-5)
    assert 0 < average["noisy"]["abs_rel"] < average["constant"]["abs_rel"]
    pairs = [(noisy(folder.image(index)), folder.target(index)) for index in range(COUNT - 1)]
    by_hand = [slow_metrics(prediction, depth, GENERIC.minimum, GENERIC.maximum)["rmse"] for prediction, depth in pairs]
    assert average["noisy"]["rmse"] == pytest.approx(np.mean(by_hand), rel=1e-9)


def test_a_dead_model_is_measured_as_the_constant_and_counted(source):
    table, _ = evaluate({"seer": seer, "dead": dead}, source(), GENERIC, count_of([]))
    average = means(table)
    assert average["dead"] == average["constant"]
    assert collapsed(table) == {"dead": COUNT - 1}


def test_a_model_that_is_not_finite_is_named(source):
    def broken(image):
        return np.full(image.shape[:2], np.nan, np.float32)

    table, skipped = evaluate({"seer": seer, "broken": broken}, source(), GENERIC, count_of([]))
    assert table.empty
    assert [one["reason"] for one in skipped[:4]] == ["broken: the prediction is not finite"] * 4


def test_a_set_of_affine_disparity_is_refused_before_anything_is_predicted(source):
    def never(image):
        raise AssertionError("predicted")

    with pytest.raises(BadInput, match="affine_disparity"):
        evaluate({"model": never}, source("affine_disparity"), GENERIC, count_of([]))


def test_predictions_are_brought_to_the_size_of_the_truth(source):
    def coarse(image):
        return np.ascontiguousarray(seer(image)[::2, ::2])

    table, _ = evaluate({"coarse": coarse}, source(), GENERIC, count_of([]))
    assert len(table) == 2 * (COUNT - 1)


def test_examples_run_from_the_best_to_the_worst_image():
    scores = {"a": 0.5, "b": 0.1, "c": 0.3, "d": 0.9, "e": 0.2}
    table = pd.DataFrame([{"key": key, "model": "student", "abs_rel": value} for key, value in scores.items()])
    assert chosen_examples(table, "student", 3) == ["b", "c", "d"]
    assert chosen_examples(table, "student", 9) == ["b", "e", "c", "a", "d"]
    assert chosen_examples(table, "student", 1) == ["b"]


def test_an_example_shows_aligned_depth_and_its_score(source):
    folder = source()
    table, _ = evaluate({"seer": seer}, folder, GENERIC, count_of([]))
    shown = example({"seer": seer}, folder, 1, table, GENERIC)
    valid = np.isfinite(shown.depth)
    np.testing.assert_allclose(shown.aligned["seer"][valid], shown.depth[valid], rtol=1e-4)
    assert (shown.key, shown.unit, shown.scores) == ("1", "m", {"seer": "AbsRel 0.000"})
