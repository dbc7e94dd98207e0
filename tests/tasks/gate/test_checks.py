"""Expectations on tables: what fails is one line each, and pieces say the same as the whole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.gate.checks import faults, judges_rows
from tasks.gate.suites import IMAGES, PSEUDO, SAMPLE_SUITES, SIDECARS, SKY, SOURCES, TARGETS, Expectation

KEYED = ["source", "key"]


def samples(**changed) -> pd.DataFrame:
    rows = {
        "source": ["rooms", "rooms", "streets"],
        "key": ["a", "b", "a"],
        "height": [10, 10, 10],
        "width": [10, 10, 10],
        "image_size": [99, 99, 99],
        "target_kind": pd.Categorical(["metric_depth", "disparity", "disparity"]),
        "codec": ["integer", "float32", "float32"],
        "valid_fraction": [1.0, 0.5, 1e-6],
        "minimum": [0.0, 0.5, 3.0],
        "maximum": [9.0, 0.5, 4.0],
        "sky_fraction": [0.0, 1.0, 0.5],
        "stood_before": [False, False, False],
    }
    return pd.DataFrame(rows | changed)


@pytest.mark.parametrize("suite", [IMAGES + TARGETS, SKY, PSEUDO])
def test_good_samples_pass(suite):
    assert faults([samples()], suite, KEYED) == []


@pytest.mark.parametrize(
    ("suite", "changed", "line"),
    [
        (IMAGES, {"stood_before": [False, True, False]}, "stands once in its source; not so for 1 of 3: rooms/b"),
        (IMAGES, {"height": [10, 0, 10]}, "height is at least 1 pixel; not so for 1 of 3: rooms/b (height = 0)"),
        (IMAGES, {"width": [10, 0, 10]}, "width is at least 1 pixel; not so for 1 of 3: rooms/b (width = 0)"),
        (IMAGES, {"image_size": [0, 9, 9]}, "not empty; not so for 1 of 3: rooms/a (image_size = 0)"),
        (TARGETS, {"target_kind": ["height", "disparity", "disparity"]}, "rooms/a (target_kind = height)"),
        (
            TARGETS,
            {"target_kind": [None, "disparity", "disparity"]},
            "target_kind is given; not so for 1 of 3: rooms/a",
        ),
        (TARGETS, {"codec": ["integer", "png", "float32"]}, "rooms/b (codec = png)"),
        (TARGETS, {"valid_fraction": [1.0, 0.0, 1.0]}, "lies in (0, 1]; not so for 1 of 3: rooms/b"),
        (TARGETS, {"valid_fraction": [1.0, 1.5, 1.0]}, "(valid_fraction = 1.5)"),
        (TARGETS, {"valid_fraction": [1.0, np.nan, 1.0]}, "valid_fraction is given; not so for 1 of 3: rooms/b"),
        (TARGETS, {"minimum": [10.0, 0.0, 0.0]}, "not below its minimum; not so for 1 of 3: rooms/a"),
        (TARGETS, {"minimum": [np.nan, 0.0, 0.0]}, "minimum is given; not so for 1 of 3: rooms/a"),
        (SKY, {"sky_fraction": [0.0, 1.5, 0.5]}, "lies in [0, 1]; not so for 1 of 3: rooms/b (sky_fraction = 1.5)"),
        (SKY, {"sky_fraction": [0.0, np.nan, 0.5]}, "sky_fraction is given; not so for 1 of 3: rooms/b"),
        (PSEUDO, {"minimum": [-1.0, 0.0, 0.0]}, "not negative; not so for 1 of 3: rooms/a (minimum = -1.0)"),
    ],
)
def test_every_fault_of_samples_is_one_line_with_source_key_and_value(suite, changed, line):
    (found,) = faults([samples(**changed)], suite, KEYED)
    assert line in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("suite", "changed", "line"),
    [
        (SOURCES, {"samples": [3, 0]}, "two (samples = 0, minimum_count = 1)"),
        (SOURCES, {"damaged_shards": [0, 2]}, "two (damaged_shards = 2)"),
        (SIDECARS, {"keys_agree": [True, False]}, "two (keys_agree = False)"),
    ],
)
def test_every_fault_of_a_source_is_one_line(suite, changed, line):
    good = {
        "source": ["one", "two"],
        "samples": [3, 1],
        "minimum_count": [1, 1],
        "damaged_shards": [0, 0],
        "keys_agree": [True, True],
    }
    assert faults([pd.DataFrame(good)], suite, ["source"]) == []
    (found,) = faults([pd.DataFrame(good | changed)], suite, ["source"])
    assert line in found


def test_many_faults_are_counted_and_the_first_shown():
    table = pd.concat([samples(height=[0, 0, 0])] * 100, ignore_index=True)
    table["key"] = [str(number) for number in range(300)]
    (found,) = faults([table], IMAGES, KEYED)
    assert "300 of 300: rooms/0 (height = 0), rooms/1" in found
    assert found.count("height = 0") == 5
    assert found.endswith(", ...")


@pytest.mark.slow
def test_pieces_say_the_same_as_the_whole():
    generator = np.random.default_rng(0)
    table = pd.concat([samples()] * 10, ignore_index=True)
    table["key"] = [str(number) for number in range(30)]
    for name in ("height", "valid_fraction", "minimum"):
        table[name] = table[name].where(generator.random(30) < 0.7, 0)
    table["codec"] = table["codec"].where(generator.random(30) < 0.8, "png")
    whole = faults([table], IMAGES + TARGETS, KEYED)
    assert len(whole) == 3
    for rows in (1, 7, 20):
        pieces = [table[start : start + rows] for start in range(0, 30, rows)]
        assert faults(pieces, IMAGES + TARGETS, KEYED) == whole


def test_what_cannot_be_checked_in_one_piece_is_no_success():
    missing = samples().drop(columns="height")
    for pieces in ([samples(), missing], [missing, samples()]):
        with pytest.raises(RuntimeError, match="could not check that the height is at least 1 pixel"):
            faults(pieces, IMAGES, KEYED)


def test_all_that_the_project_expects_judges_rows():
    assert all(judges_rows(one) for suite in SAMPLE_SUITES.values() for one in suite)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("expect_column_mean_to_be_between", {"column": "height", "min_value": 1}),
        ("expect_column_values_to_be_between", {"column": "height", "min_value": 1, "mostly": 0.9}),
        ("expect_column_values_to_be_unique", {"column": "key"}),
    ],
)
def test_what_looks_at_several_rows_needs_the_whole(kind, arguments):
    assert not judges_rows(Expectation("it holds", "height", kind, arguments))
