"""Data Docs: complete pages that load nothing from elsewhere, also about a collection with faults."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser

import pandas as pd
import pytest

from tasks.gate import data_docs
from tasks.gate.checks import checked
from tasks.gate.suites import SAMPLE_SUITES

LOADING = {"src", "srcset", "poster", "data", "background"}


class Loaded(HTMLParser):
    """What a browser would fetch for a page, and the text that it shows."""

    def __init__(self, page):
        super().__init__()
        self.fetched, self.links, self.text, self.tags = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in LOADING or (name == "href" and tag != "a"):
                self.fetched.append(value)
            elif name == "href":
                self.links.append(value)

    def handle_data(self, data):
        self.text.append(data)
        if "url(http" in data.replace("'", "").replace('"', ""):
            self.fetched.append(data)


@pytest.fixture(scope="module")
def page():
    table = pd.DataFrame({"source": "one", "key": ["a", "b", "c"], "sky_fraction": [0.5, 1.5, 2.5]}).assign(
        stood_before=False
    )
    return data_docs.rendered(checked(table, SAMPLE_SUITES["sky"], ["source", "key"], "sky samples"))


def test_a_page_shows_what_failed_and_fetches_nothing(page):
    found = Loaded(page)
    assert found.fetched == []
    assert "script" not in found.tags
    text = " ".join(" ".join(found.text).split())
    assert "sky samples" in text and "Failed" in text
    assert "1.5" in text and "2.5" in text and "np.float" not in text
    assert "Data asset: sky samples" in text
    assert f"sky samples / {datetime.now(UTC):%Y-%m-%d}" in text and "__none__" not in text
    assert {link for link in found.links if not link.startswith("#")} == {"index.html"}


def test_a_page_that_would_load_something_unknown_is_refused(page):
    with pytest.raises(RuntimeError, match="would load"):
        data_docs.offline(page.replace("</body>", "<iframe src='https://example.com/x'></iframe></body>"))
