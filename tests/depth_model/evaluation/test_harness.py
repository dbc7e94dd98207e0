"""Rows and means of a set, and what becomes of images that cannot be measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.evaluation import relative_depth_metrics, results
from depth_model.evaluation.cases import CollectedCases
from depth_model.evaluation.harness import evaluate, example
from depth_model.evaluation.protocols import GENERIC
from depth_model.evaluation.results import examples, worst
from depth_model.evaluation.summary import (
    NothingEvaluated,
    check_evaluated,
    collapsed,
    means,
    summary_lines,
    summary_of,
)
from depth_model.prediction.estimator import Estimator
from depth_model.reading.collecting import collect_source
from depth_model.shards.source import SourceFolder

COUNT = 5


@pytest.fixture
def source(tmp_path):
    """Collects five pictures whose red channel is depth in decimeters; the fifth has 9 pixels of truth."""

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
        return CollectedCases(SourceFolder(tmp_path / "source"))

    return collected


def relative(predict):
    return Estimator("disparity", lambda image, names: predict(image))


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
    table, skipped = evaluate({"seer": relative(seer), "noisy": relative(noisy)}, folder, GENERIC, count_of(calls))
    assert len(calls) == COUNT
    assert list(table["model"]) == ["seer", "noisy", "constant"] * (COUNT - 1)
    assert [one["key"] for one in skipped] == ["4"]
    assert skipped[0]["reason"].startswith("9 pixels of truth")
    average = means(table)
    assert average["seer"]["abs_rel"] == pytest.approx(0, abs=1e-5)
    assert 0 < average["noisy"]["abs_rel"] < average["constant"]["abs_rel"]
    cases = [folder.load(index) for index in range(COUNT - 1)]
    by_hand = [relative_depth_metrics(noisy(one.image), one.target, one.kind, GENERIC)["rmse"] for one in cases]
    assert average["noisy"]["rmse"] == pytest.approx(np.mean(by_hand), rel=1e-9)


def test_a_dead_model_is_measured_as_the_constant_and_counted(source):
    table, _ = evaluate({"seer": relative(seer), "dead": relative(dead)}, source(), GENERIC, count_of([]))
    average = means(table)
    assert average["dead"] == average["constant"]
    assert collapsed(table) == {"dead": COUNT - 1}


def test_a_model_that_is_not_finite_is_named(source):
    def broken(image):
        return np.full(image.shape[:2], np.nan, np.float32)

    table, skipped = evaluate({"seer": relative(seer), "broken": relative(broken)}, source(), GENERIC, count_of([]))
    assert list(table[table["model"] == "broken"]["failure"]) == ["the prediction is not finite"] * (COUNT - 1)
    assert len(skipped) == 1
    with pytest.raises(NothingEvaluated, match=r"dark: .* for broken: the prediction is not finite \(4 of 5\)"):
        check_evaluated("dark", table, skipped)


def test_a_failure_on_one_image_counts_against_that_model_alone(source):
    def once(image):
        values = noisy(image)
        values[0, 0] = np.nan if image[0, 0, 0] == first else 1
        return values

    cases = source()
    first = cases.load(1).image[0, 0, 0]
    models = {"seer": relative(seer), "once": relative(once)}
    table, skipped = evaluate(models, cases, GENERIC, count_of([]))
    summary = summary_of("set", table, skipped, GENERIC)
    assert (summary["images"], summary["failures"]) == (COUNT - 1, {"seer": 0, "once": 1})
    own = table[table["model"] == "once"]["abs_rel"]
    assert own.isna().tolist() == [False, True, False, False]
    assert summary["models"]["once"]["abs_rel"] == pytest.approx(own[own.notna()].mean())
    alone, _ = evaluate({"seer": relative(seer)}, cases, GENERIC)
    assert summary["models"]["seer"] == means(alone)["seer"]
    lines = list(summary_lines(summary))
    assert lines[0].split()[-1] == "failed"
    assert {line.split()[0]: line.split()[-1] for line in lines[1:4]} == {"seer": "0", "once": "1", "constant": "0"}
    shown = example(models, cases.load(1), table, GENERIC)
    assert shown.scores["once"] == "failed" and np.isnan(shown.aligned["once"]).all()
    assert "1" not in worst(table, "once", 9)


@pytest.mark.parametrize("aligned", ["disparity", "depth"])
def test_an_inverted_prediction_is_reported(source, aligned):
    def inverted(image):
        return -seer(image) if aligned == "disparity" else image[:, :, 0] / np.float32(10)

    models = {"inverted": relative(inverted), "seer": relative(seer)}
    table, skipped = evaluate(models, source(), GENERIC)
    summary = summary_of("set", table, skipped, GENERIC)
    assert summary["remarks"] == {"inverted": {"inverted (a negative scale fits best)": COUNT - 1}}
    said = "inverted: the prediction looks inverted (a negative scale fits best) on 4 of 4 images"
    assert said in list(summary_lines(summary))


def test_depth_with_a_shift_of_its_own_and_disparity_as_meters_are_reported(source):
    models = {
        "shifted": Estimator("depth", lambda image, names: 3 + image[:, :, 0] / np.float32(100)),
        "exact": Estimator("depth", lambda image, names: image[:, :, 0] / np.float32(100)),
    }
    summary = summary_of("set", *evaluate(models, source(), GENERIC), GENERIC)
    assert list(summary["remarks"]) == ["shifted"] and "alignment=depth" in next(iter(summary["remarks"]["shifted"]))
    protocol = replace(GENERIC, alignment="none")
    meters = {"inverse": Estimator("metric_depth", lambda image, names: seer(image))}
    summary = summary_of("set", *evaluate(meters, source(), protocol), protocol)
    assert summary["remarks"]["inverse"] == {"inverted (like disparity, not meters)": COUNT - 1}


def test_a_set_of_affine_disparity_is_refused_before_anything_is_predicted(source):
    def never(image):
        raise AssertionError("predicted")

    with pytest.raises(BadInput, match="affine_disparity"):
        evaluate({"model": relative(never)}, source("affine_disparity"), GENERIC, count_of([]))


def test_predictions_are_brought_to_the_size_of_the_truth(source):
    def coarse(image):
        return np.ascontiguousarray(seer(image)[::2, ::2])

    table, _ = evaluate({"coarse": relative(coarse)}, source(), GENERIC, count_of([]))
    assert len(table) == 2 * (COUNT - 1)


def test_examples_run_from_the_best_to_the_worst_image():
    scores = {"a": 0.5, "b": 0.1, "c": 0.3, "d": 0.9, "e": 0.2}
    table = pd.DataFrame([{"key": key, "model": "student", "abs_rel": value} for key, value in scores.items()])
    assert examples(table, "student", 3) == ["b", "c", "d"]
    assert examples(table, "student", 9) == ["b", "e", "c", "a", "d"]
    assert examples(table, "student", 1) == ["b"]
    assert worst(table, "student", 2) == ["d", "a"]


def test_an_example_shows_aligned_depth_and_its_score(source):
    folder = source()
    table, _ = evaluate({"seer": relative(seer)}, folder, GENERIC, count_of([]))
    shown = example({"seer": relative(seer)}, folder.load(1), table, GENERIC)
    valid = np.isfinite(shown.depth)
    np.testing.assert_allclose(shown.aligned["seer"][valid], shown.depth[valid], rtol=1e-4)
    assert (shown.key, shown.unit, shown.scores) == ("1", "m", {"seer": "AbsRel 0.000"})


@pytest.mark.parametrize("room, again", [(10**6, 0), (24 * 32 * 4, COUNT - 2), (0, COUNT - 1)])
def test_pictures_take_the_maps_that_were_measured_as_far_as_they_are_kept(source, tmp_path, monkeypatch, room, again):
    asked = []

    def counted(image):
        asked.append(image.shape)
        return seer(image)

    monkeypatch.setattr(results, "REMEMBERED", room)
    folder, summary = tmp_path / "evaluated", tmp_path / "summary.json"
    results.evaluate_set(
        "five", "sources.evaluation.five", {"seer": relative(counted)}, source(), GENERIC, folder, summary, "seer"
    )
    assert len(asked) == COUNT - 1 + again  # the fifth has too little truth to be shown to a model
    assert {"examples.png", "worst.png", "panels"} <= {path.name for path in folder.iterdir()}
