"""Panels are small pictures of one size in the colors of the figures, and come back as they were left."""

from __future__ import annotations

import io

import numpy as np
from matplotlib import colormaps
from PIL import Image

from depth_model.evaluation.figures import DEPTH_COLORS, Example
from depth_model.evaluation.panels import LONGEST_SIDE, panels, read_panels, write_panels


def an_example(height=600, width=900):
    depth = np.full((height, width), 2.0)
    depth[:, : width // 2] = 1.0
    depth[: height // 4] = np.nan
    aligned = {"teacher": np.full((height, width), 1.0), "student": np.nan_to_num(depth, nan=1.0)}
    image = np.full((2 * height, 2 * width, 3), (200, 30, 30), np.uint8)
    return Example("a/b", image, depth, aligned, {"teacher": "AbsRel 0.250", "student": "AbsRel 0.000"}, "m")


def opened(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)


def test_every_panel_has_one_size_and_shows_its_values():
    found = {title: opened(picture) for title, picture in panels(an_example()).items()}
    assert list(found) == ["image", "truth", "teacher", "student", "error of teacher", "error of student"]
    assert {one.shape for one in found.values()} == {(round(LONGEST_SIDE * 2 / 3), LONGEST_SIDE, 3)}
    near, far = (np.array(colormaps[DEPTH_COLORS](share)[:3]) * 255 for share in (0.0, 1.0))
    below = slice(150, 290)
    for title, right in (("truth", far), ("student", far), ("teacher", near)):
        assert np.abs(found[title][below, 20:200].mean((0, 1)) - near).max() < 12
        assert np.abs(found[title][below, 250:430].mean((0, 1)) - right).max() < 12
    assert found["error of student"][below].mean() < 4 < 100 < found["error of teacher"][below, 250:430].mean()
    assert np.abs(found["truth"][:60] - 0.72 * 255).max() < 12  # no truth there
    assert np.abs(found["image"].mean((0, 1)) - (200, 30, 30)).max() < 6


def test_what_was_left_comes_back_with_its_rank_and_range(tmp_path):
    write_panels(tmp_path, {0: an_example(60, 90), 6: an_example(60, 90)}, 7)
    best, worst = read_panels(tmp_path)
    assert (best["rank"], worst["rank"], worst["images"], worst["key"], worst["unit"]) == (0, 6, 7, "a/b", "m")
    assert (best["nearest"], best["farthest"]) == (1.0, 2.0)
    assert best["pictures"] == panels(an_example(60, 90))
