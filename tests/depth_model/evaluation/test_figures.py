"""Figures are PNG files, the same bytes each time."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from depth_model.evaluation.figures import ACTIVE, Example, examples_figure, training_figure


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


def test_training_curves_show_what_the_history_holds():
    steps = np.arange(1, 50)
    teacher = pd.DataFrame({"step": steps, "affine_invariant": 1 / steps})
    student = teacher.assign(pseudo_label=0.5, feature_alignment=0.1, **{ACTIVE: 0.2})
    two = Image.open(io.BytesIO(training_figure({"teacher": teacher, "student": student}, 0.85)))
    one = Image.open(io.BytesIO(training_figure({"teacher": teacher}, 0.85)))
    assert two.width == 3 * one.width  # losses of both, and the tokens below alpha
