"""Figures are PNG files, the same bytes each time."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from depth_model.evaluation.collection_figure import collection_figure
from depth_model.evaluation.figures import ACTIVE, NO_LABEL, Example, examples_figure, training_figures
from depth_model.evaluation.segmentation_figures import LabeledExample, confusion_figure, overlays_figure
from depth_model.semantic.classes import ClassList


def an_example():
    generator = np.random.default_rng(0)
    depth = generator.uniform(1, 9, (24, 32))
    depth[:5] = np.nan
    aligned = {"teacher": np.nan_to_num(depth, nan=2.0) * 1.1}
    image = generator.integers(0, 256, (24, 32, 3), np.uint8)
    return Example("a/b", image, depth, aligned, {"teacher": "AbsRel 0.100"}, "m")


def test_examples_have_the_same_bytes_each_time():
    first, second = (examples_figure([an_example()]) for _ in range(2))
    assert first == second
    assert b"Software" not in first
    assert Image.open(io.BytesIO(first)).format == "PNG"


def test_names_that_look_like_formulas_are_drawn_as_they_are():
    formula = r"$\x$"
    one = an_example()
    hostile = Example(formula, one.image, one.depth, {formula: one.depth}, {formula: formula}, "m")
    assert examples_figure([hostile]) != examples_figure([one])
    source = {"histograms": {"size": [1] + [0] * 20}}
    assert collection_figure({formula: source}) != collection_figure({"a": source})
    classes = ClassList(formula, (formula, "b"), ((10, 20, 30), (200, 100, 0)))
    assert confusion_figure(np.eye(2, dtype=int), classes)
    labels = np.zeros((8, 8), np.uint8)
    shown = LabeledExample(formula, np.zeros((8, 8, 3), np.uint8), labels, {formula: labels})
    assert overlays_figure([shown], classes)


def test_pixels_without_truth_are_gray_in_truth_and_error():
    black = np.zeros((24, 32, 3), np.uint8)
    missing = Example("a", black, an_example().depth, {"one": np.ones((24, 32))}, {"one": ""}, "m")
    pixels = np.asarray(Image.open(io.BytesIO(examples_figure([missing]))).convert("RGB"))
    gray = (np.abs(pixels - float(NO_LABEL) * 255) < 1).all(-1)
    image, truth, aligned, error = (int(part.sum()) for part in np.array_split(gray, 4, axis=1))
    assert max(image, aligned) < 20  # the edges of letters
    assert truth > 1000
    assert abs(error - truth) < 20


def test_rows_take_the_height_of_their_picture():
    wide, tall = (
        Example("a", np.zeros((*size, 3), np.uint8), 1 + np.eye(*size), {"one": np.ones(size)}, {"one": ""}, "m")
        for size in ((20, 80), (80, 40))
    )
    heights = [Image.open(io.BytesIO(examples_figure([one]))).height for one in (wide, tall)]
    assert heights[1] > 3 * heights[0]


def test_training_curves_show_what_the_history_holds():
    steps = np.arange(1, 50)
    teacher = pd.DataFrame({"step": steps, "affine_invariant": 1 / steps})
    student = teacher.assign(pseudo_label=0.5, feature_alignment=0.1, **{ACTIVE: 0.2})
    metric = teacher[["step"]].assign(loss=1)
    found = training_figures({"teacher": teacher, "student": student, "metric/nyu": metric}, 0.85)
    losses = ["teacher: losses", "student: losses", "metric/nyu: losses"]
    assert list(found) == [*losses, "student: tokens that feature alignment pulls"]
    assert all(Image.open(io.BytesIO(picture)).format == "PNG" for picture in found.values())
    validated = teacher.assign(**{"validation/abs_rel": np.where(steps % 10, np.nan, 0.2)})
    assert list(training_figures({"teacher": validated}, 0.85))[1:] == ["validation on held-out images: AbsRel"]
