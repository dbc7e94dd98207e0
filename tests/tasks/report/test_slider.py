"""The slider of the report in a real browser: moved by keys, on a page that asks for nothing and has no fault."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.browser import CHROMIUM, Browser
from tests.tasks.report.test_report import a_case, a_page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
COLORS = {"image": "gray", "truth": "white", "teacher": "red", "student": "blue", "error of student": "black"}


def webp(color):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), color).save(buffer, "WEBP")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    pictures = {title: webp(color) for title, color in COLORS.items()}
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(a_page(galleries={"fog": [a_case(rank) | {"pictures": pictures} for rank in range(3)]}))
    return path.as_uri()


@pytest.mark.parametrize(("width", "dark"), [(360, False), (820, True), (1400, False)])
def test_the_slider_moves_by_keys_and_the_page_asks_for_nothing(page, width, dark):
    with Browser(page, width=width, dark=dark) as tab:
        tab.until("document.querySelector('.slider:not([hidden]) .over')?.naturalWidth > 0")
        assert tab.js("Promise.all([...document.images].map((one) => one.decode())).then(() => true)")
        assert tab.js("document.documentElement.scrollWidth") == width
        range_at = "document.querySelector('.view input')"
        tab.js(f"{range_at}.focus()")
        for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
            tab.key(key)
        assert tab.js(f"{range_at}.value") == "49"
        assert tab.js(f"{range_at}.getAttribute('aria-valuetext')") == "49 % teacher, the rest student"
        assert tab.js("getComputedStyle(document.querySelector('.view')).getPropertyValue('--at')") == "49%"
        left, right = (pixel(tab, share) for share in (0.2, 0.8))
        assert left[0] > 200 > 60 > left[2] and right[2] > 200 > 60 > right[0]
        tab.js("document.querySelector('[name=case]').focus()")
        tab.key("ArrowDown")
        assert tab.js("document.querySelector('.over').alt") == "teacher of image 1"
        background = tab.js("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(22, 24, 27)" if dark else "rgb(255, 255, 255)")
        assert [one for one in tab.requests if not one.startswith("data:")] == [page]
        assert tab.faults == []


def pixel(tab, share):
    x, y = tab.place(".view", share)
    return Image.open(io.BytesIO(tab.screenshot(whole=False))).convert("RGB").getpixel((int(x), int(y)))


def test_every_picture_has_words_and_every_control_a_name(page):
    with Browser(page) as tab:
        tab.until("document.querySelectorAll('.slider:not([hidden])').length")
        assert tab.js("[...document.images].filter((one) => !one.alt).length") == 0
        controls = "[...document.querySelectorAll('select, input')]"
        assert tab.js(f"{controls}.filter((one) => !one.labels.length && !one.ariaLabel).length") == 0
        assert tab.faults == []
