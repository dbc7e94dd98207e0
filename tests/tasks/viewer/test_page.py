"""The viewer's page in a real browser, when this machine has one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from browser import CHROMIUM, Browser

from depth_model.media.point_cloud import camera
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.metric.prediction.predictor import MetricPredictor
from depth_model.metrics.normals import points

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
DONE = "!document.querySelector('#turn').hidden && document.querySelector('#status').textContent === ''"


@pytest.fixture(scope="module")
def page(viewer, models, photo):
    """The page with a photo, a relative model and a metric one beside it."""
    with Browser(viewer) as page:
        page.until('!!document.querySelector("html[data-ready]")')
        page.fill("#model-b", str(models / "metric"))
        page.upload("#file", photo)
        page.until(DONE)
        yield page
        assert not page.faults
        # The browser draws the buttons of a video itself, from data: addresses.
        assert not [url for url in page.requests if not url.startswith((viewer, "about:", "data:"))]


@pytest.fixture(scope="module")
def depth(models, pixels):
    return MetricPredictor(MetricDepth.load(models / "metric"))(pixels)


def text(page, selector):
    return page.js(f"document.querySelector({selector!r}).innerText")


def place(row, column, height=48, width=64):
    return {"across": (column + 0.5) / width, "down": (row + 0.5) / height}


def test_the_value_under_the_pointer_is_that_of_the_pixel(page, depth):
    for row, column in ((0, 0), (20, 31), (47, 63)):
        x, y = page.place("#picture canvas", **place(row, column))
        page.mouse("mouseMoved", x, y)
        assert text(page, "#picture .value") == f"column {column}, row {row}"
        assert text(page, "#b .value") == f"{depth[row, column]:.3f} m"
        assert text(page, "#a .value").startswith("disparity ")


def test_two_points_are_as_far_apart_as_in_the_cloud(page, depth):
    ends = (10, 5), (40, 60)
    for end in ends:
        page.click("#a canvas", **place(*end))
    for unit, value, view in (
        ("degrees", 80, 80),
        ("pixels", 50, math.degrees(2 * math.atan(32 / 50))),
        ("millimeters", 28, math.degrees(2 * math.atan(32 / (28 * math.hypot(48, 64) / math.hypot(36, 24))))),
    ):
        page.fill("#unit", unit)
        page.fill("#camera", str(value))
        one, other = (points(depth, camera(view, *depth.shape))[end] for end in ends)
        said = text(page, "#distance").splitlines()
        assert said[0] == "Model: relative, so it tells no meters"
        assert said[1].startswith(f"Compared: {np.linalg.norm(one - other):.3f} m between the points"), (unit, said)
        assert said[2] == f"Camera: {view:.1f}° across."
    page.fill("#camera", "")
    assert "60.0° across, assumed" in text(page, "#distance")
    page.click("#clear")
    assert "Click two points" in text(page, "#distance")


def test_keys_move_the_pointer_and_set_points(page):
    page.js("document.querySelector('#b .map').focus()")
    page.mouse("mouseMoved", 1, 1)
    page.key("ArrowRight")
    assert text(page, "#picture .value") == "column 33, row 24"
    page.key("Enter")
    page.key("ArrowDown")
    page.key("Enter")
    assert "between the points" in text(page, "#distance")
    page.click("#clear")


def test_the_cloud_is_drawn_and_turns(page):
    page.place("#cloud")
    straight = page.screenshot(whole=False)
    page.drag("#cloud", (120, 40))
    turned = page.screenshot(whole=False)
    page.js("document.querySelector('#cloud').focus()")
    page.key("0")
    again = page.screenshot(whole=False)
    assert len(straight) > 10_000  # not one color
    assert turned != straight
    assert abs(len(again) - len(straight)) < 2000
    page.fill("#cloud-of", "b")
    page.click("#cloud")
    page.click("#cloud", 0.52, 0.55)
    assert "between the points" in text(page, "#distance")


def test_downloads_are_named_after_the_picture(page):
    found = page.js("[...document.querySelectorAll('#b .files a')].map((one) => [one.download, one.href])")
    assert [name for name, _ in found] == [f"a photo.png{end}" for end in (".png", ".color.png", ".npy", ".ply")]
    assert "field_of_view=60" in found[-1][1]
    assert page.js(f"fetch({found[2][1]!r}).then((one) => one.ok)")


def test_no_width_is_too_small(page):
    for width in (360, 820, 1440):
        page.resize(width, 800)
        assert page.js("document.documentElement.scrollWidth") <= width
    page.resize(1280, 900)


def test_what_goes_wrong_stands_in_one_line(page, models, tmp_path):
    page.fill("#model-b", "no/such/model/here")
    page.click("#go")
    page.until("!!document.querySelector('#status.bad')")
    assert "no/such/model/here" in text(page, "#status")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    page.upload("#file", tmp_path / "broken.jpg")
    page.until("document.querySelector('#status').textContent.includes('known format')")
    page.faults.clear()  # the browser tells of every answer that is an error


def test_frames_of_a_video_are_chosen(page, models, video):
    page.fill("#model-b", "")
    page.upload("#file", video)
    page.until(DONE)
    assert text(page, "#frame-number") == "1 of 3"
    before = text(page, "#a .range")
    page.fill("#frame", "2")
    page.until("document.querySelector('#frame-number').textContent === '3 of 3'")
    page.until(f"{DONE} && !document.querySelector('#go').disabled")
    assert text(page, "#a .range") != before
    assert page.js("document.querySelector('#b').hidden")


def test_a_whole_video_is_shown_as_depth(page):
    page.click("#whole")
    page.until("!document.querySelector('#clip').hidden && document.querySelector('#clip video').readyState >= 2")
    assert "3 frames" in text(page, "#clip p")
    assert page.js("document.querySelector('#clip video').videoWidth") == 128
    assert page.js("document.querySelector('#clip a').download") == "clip.mp4.color.mp4"
    assert page.js("document.querySelector('#stop').hidden")
