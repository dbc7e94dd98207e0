"""Pictures as people look at them."""

from __future__ import annotations

import io

import numpy as np
from matplotlib import colormaps
from PIL import Image

from depth_model.media import pictures


def test_values_spread_over_their_own_range_and_flat_ones_are_zero():
    assert pictures.spread(np.array([[2.0, 4.0, 3.0]])).tolist() == [[0, 1, 0.5]]
    assert pictures.spread(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]


def test_colors_are_those_of_the_color_map():
    found = pictures.colored(np.array([[0.0, 1.0]]), "viridis")
    assert found.dtype == np.uint8
    assert found[0].tolist() == [[round(255 * part) for part in colormaps["viridis"](end)[:3]] for end in (0.0, 1.0)]


def test_a_png_holds_what_it_was_given():
    for values in (np.arange(6, dtype=np.uint16).reshape(2, 3) * 9000, np.full((2, 3, 3), 5, np.uint8)):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(pictures.png(values)))), values)
