"""Bootstrap intervals against scipy's, the normal law, and tables with known differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from depth_model.evaluation.bootstrap import bootstrap, compared, intervals


def test_an_interval_is_that_of_scipys_bootstrap():
    values = np.random.default_rng(0).gamma(2, 1, 200)
    found = bootstrap(values[:, None], resamples=8000)[0]
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=8000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_intervals_hold_the_true_mean_as_often_as_they_say():
    generator = np.random.default_rng(0)
    found = bootstrap(generator.normal(5, 1, (100, 300)), resamples=500)
    inside = np.mean([one.low < 5 < one.high for one in found])
    assert 0.9 < inside < 0.98


def test_values_that_are_missing_do_not_count():
    values = np.array([[1.0, np.nan], [3.0, 4.0], [2.0, 4.0]])
    first, second = bootstrap(values)
    assert (first.mean, second.mean, second.low, second.high) == (2, 4, 4, 4)
    with pytest.raises(ValueError, match="no value"):
        bootstrap(np.full((3, 1), np.nan))


@pytest.fixture
def table():
    generator = np.random.default_rng(0)
    hard = generator.uniform(0, 1, 80)
    rows = []
    for number, level in enumerate(hard):
        for model, gain in (("base", 0), ("better", -0.02), ("same", 0)):
            value = level + gain + generator.normal(0, 0.01)
            rows.append({"key": str(number), "model": model, "abs_rel": value, "boundary_f1": np.nan})
    return pd.DataFrame(rows)


def test_a_paired_comparison_sees_what_separate_intervals_hide(table):
    apart = intervals(table)
    assert apart["better"]["abs_rel"]["high"] > apart["base"]["abs_rel"]["low"]
    assert "boundary_f1" not in apart["base"]
    difference = compared(table, "better", "base")["abs_rel"]
    assert difference["low"] < -0.02 < difference["high"] < 0
    same = compared(table, "same", "base")["abs_rel"]
    assert same["low"] < 0 < same["high"]


def test_the_same_table_gives_the_same_figures_and_only_common_images_count(table):
    assert intervals(table) == intervals(table)
    few = table.drop(table[(table["model"] == "base") & (table["key"].astype(int) >= 5)].index)
    ours = table[(table["model"] == "better") & (table["key"].astype(int) < 5)]["abs_rel"].to_numpy()
    theirs = few[few["model"] == "base"]["abs_rel"].to_numpy()
    assert compared(few, "better", "base")["abs_rel"]["mean"] == pytest.approx((ours - theirs).mean())
    assert compared(few[few["model"] == "better"], "better", "base") == {}
