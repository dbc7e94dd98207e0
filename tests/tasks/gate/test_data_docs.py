"""Data Docs: complete pages that load nothing from elsewhere, also about a collection with faults."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from tasks.gate import data_docs
from tasks.gate.checks import checked
from tasks.gate.suites import SAMPLE_SUITES, Expectation
from tests.tasks.page_reader import Page


@pytest.fixture(scope="module")
def page():
    table = pd.DataFrame({"source": "one", "key": ["a", "b", "c"], "sky_fraction": [0.5, 1.5, 2.5]}).assign(
        stood_before=False
    )
    return data_docs.rendered(checked(table, SAMPLE_SUITES["sky"], ["source", "key"], "sky samples"))


def test_a_page_shows_what_failed_and_fetches_nothing(page):
    found = Page(page)
    assert found.fetched == []
    assert "script" not in {tag for tag, _ in found.tags}
    text = found.text
    assert "sky samples" in text and "Failed" in text
    assert "1.5" in text and "2.5" in text and "np.float" not in text
    assert "Data asset: sky samples" in text
    assert f"sky samples / {datetime.now(UTC):%Y-%m-%d}" in text and "__none__" not in text
    assert {link for link in found.links if not link.startswith("#")} == {"index.html"}


def test_a_page_says_what_was_expected_and_names_the_rows_that_do_not_fit(page):
    text = Page(page).text
    assert "the sky fraction lies in [0, 1]" in text
    assert "expect_column_values_to_be_between: min_value = 0.0, max_value = 1.0" in text
    assert "source key sky_fraction one b 1.5 one c 2.5" in text
    assert "2 of 3 rows unexpected (≈66.67%)" in text
    assert "Evaluated Expectations 3 Successful Expectations 2 Unsuccessful Expectations 1" in text


def test_any_kind_of_finding_is_shown():
    table = pd.DataFrame({"source": "one", "key": ["a", "b", "c"], "x": [1.0, 2.0, 6.0]})
    quantiles = {"column": "x", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 1]]}}
    suite = [
        Expectation("the mean is small", "x", "expect_column_mean_to_be_between", {"column": "x", "max_value": 1}),
        Expectation("low", "x", "expect_column_quantile_values_to_be_between", quantiles),
        Expectation("five rows", "", "expect_table_row_count_to_equal", {"value": 5}),
        Expectation("there is y", "y", "expect_column_values_to_not_be_null", {"column": "y"}),
        Expectation("keys", "key", "expect_column_distinct_values_to_be_in_set", {"column": "key", "value_set": ["a"]}),
        Expectation("low", "x", "expect_column_values_to_be_between", {"column": "x", "max_value": 3, "mostly": 0.5}),
    ]
    page = Page(data_docs.rendered(checked(table, suite, ["source", "key"], "all")))
    assert "the mean is small expect_column_mean_to_be_between: max_value = 1.0 3.0" in page.text
    assert "{'quantiles': [0.5], 'values': [2.0]}" in page.text and "np.float" not in page.text
    assert "Table-Level Expectations Status Expectation Observed Value ✗ five rows" in page.text
    assert 'raised an exception: Error: The column "y" in BatchData does not exist.' in page.text
    assert "/site-packages/" not in page.text
    assert page.text.count("✓") == 1 and "≈33.33%" in page.text


def test_a_collection_without_faults_has_succeeded():
    table = pd.DataFrame({"source": ["one"], "key": ["a"], "sky_fraction": [0.5], "stood_before": [False]})
    text = Page(data_docs.rendered(checked(table, SAMPLE_SUITES["sky"], ["source", "key"], "sky samples"))).text
    assert "Status: ✓ Succeeded" in text and "✗" not in text and "Success Percent 100%" in text
